// Schedules, reads and deletes jobs by the transport of the SDK's own client: it has no methods for jobs, only the
// messages, the calls and the HTTP client. The argument says by which protocol, and which steps; prints what each came to.
import { DaprClient } from "@dapr/dapr";
import { CommunicationProtocolEnum } from "@dapr/dapr";

const { protocol, version, steps } = JSON.parse(process.argv[2]);
const silent = { error() {}, warn() {}, info() {}, verbose() {}, debug() {} };

async function overHttp() {
  const client = new DaprClient({ communicationProtocol: CommunicationProtocolEnum.HTTP, logger: { service: silent } });
  await client.start();
  const call = (name, options) => client.daprClient.executeWithApiVersion(version, `/jobs/${name}`, options);
  return {
    schedule: ({ name, ...job }) => call(name, { method: "POST", body: job }),
    get: ({ name }) => call(name, { method: "GET" }),
    delete: ({ name }) => call(name, { method: "DELETE" }),
    shutdown: () => client.sidecar.shutdown(),
    // The client throws the answer as text.
    failed: ({ message }) => ({ status: JSON.parse(message).status, ...JSON.parse(JSON.parse(message).error_msg) }),
  };
}

async function overGrpc() {
  const client = new DaprClient({ communicationProtocol: CommunicationProtocolEnum.GRPC, logger: { service: silent } });
  await client.start();
  const dapr = await client.daprClient.getClient();
  const encoded = (data) => ({ typeUrl: "", value: new TextEncoder().encode(JSON.stringify(data)) });
  return {
    async schedule({ overwrite, data, constant, ...job }) {
      const policy = constant && { policy: { case: "constant", value: { interval: { seconds: BigInt(constant.seconds) }, maxRetries: constant.maxRetries } } };
      await dapr.scheduleJobAlpha1({ job: { ...job, data: data && encoded(data), failurePolicy: policy }, overwrite });
    },
    async get({ name }) {
      const { job } = await dapr.getJobAlpha1({ name });
      const policy = job.failurePolicy?.policy;
      return {
        name: job.name,
        schedule: job.schedule,
        dueTime: job.dueTime,
        repeats: job.repeats,
        ttl: job.ttl,
        data: job.data && JSON.parse(new TextDecoder().decode(job.data.value)),
        constant: policy?.case === "constant" ? { seconds: Number(policy.value.interval.seconds), maxRetries: policy.value.maxRetries } : undefined,
      };
    },
    delete: async ({ name }) => void (await dapr.deleteJobAlpha1({ name })),
    shutdown: () => client.sidecar.shutdown(),
    failed: ({ code, rawMessage }) => ({ code, message: rawMessage }),
  };
}

const jobs = await (protocol === "grpc" ? overGrpc() : overHttp());
const results = [];
for (const { do: verb, ...given } of steps) {
  try {
    results.push({ ok: (await jobs[verb](given)) ?? null });
  } catch (error) {
    results.push({ failed: jobs.failed(error) });
  }
}
console.log(JSON.stringify(results));
process.exit(0);
