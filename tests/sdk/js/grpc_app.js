// An app with the SDK's gRPC server. It answers the job callback only by its deprecated name, and drops what comes; so
// the answer is replaced on the server's implementation, the one place for that.
import { CommunicationProtocolEnum, DaprServer } from "@dapr/dapr";

const server = new DaprServer({
  serverHost: "127.0.0.1",
  serverPort: process.env.APP_PORT,
  communicationProtocol: CommunicationProtocolEnum.GRPC,
});
const tell = (what) => console.log(JSON.stringify(what));
const answers = server.daprServer.getServerImpl();
const theirs = answers.onJobEventAlpha1.bind(answers);
let flakyCalls = 0;

answers.onJobEventAlpha1 = async (request, context) => {
  const data = new TextDecoder().decode(request.data?.value);
  tell({ job: request.name, data, method: request.method, type: request.contentType, run: context.requestHeader.get("wakeful-run-id") });
  if (request.name === "flaky" && ++flakyCalls === 1) throw new Error("not yet");
  return theirs(request, context);
};
await server.start();
console.log("listening", process.env.DAPR_GRPC_PORT);
