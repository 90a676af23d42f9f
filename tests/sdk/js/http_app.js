// An app with the SDK's HTTP server, which has no word for jobs: a route for each, as for an invocation.
import { CommunicationProtocolEnum, DaprServer, HttpMethod } from "@dapr/dapr";

const server = new DaprServer({
  serverHost: "127.0.0.1",
  serverPort: process.env.APP_PORT,
  communicationProtocol: CommunicationProtocolEnum.HTTP,
});
const tell = (what) => console.log(JSON.stringify(what));

await server.invoker.listen("job/report", async ({ body, headers }) => tell({ job: "report", data: JSON.parse(body), run: headers["wakeful-run-id"] }), {
  method: HttpMethod.POST,
});
await server.start();
console.log("listening", process.env.DAPR_GRPC_PORT);
if (process.env.SCHEDULE_OWN) {
  await server.client.daprClient.executeWithApiVersion("v1.0-alpha1", "/jobs/report", {
    method: "POST",
    body: { dueTime: "0s", data: { by: "the app" } },
  });
}
