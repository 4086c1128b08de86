import { testServer } from "../apiserver/testing.ts";
import { SYSTEM } from "../apiserver/authorize.ts";
import { inProcessKube } from "./in_process.ts";
import { kubeSuite } from "./kube_suite.ts";

kubeSuite("in process", async () => {
  const test = await testServer();
  await test.call("POST", "/api/v1/namespaces", { metadata: { name: "suite" } }, { expect: 201 });
  return {
    kube: inProcessKube(test.server.fetchAs(SYSTEM)),
    namespace: "suite",
    [Symbol.asyncDispose]: () => test[Symbol.asyncDispose](),
  };
});
