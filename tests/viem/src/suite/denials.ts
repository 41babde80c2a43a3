// What a client's user reads when our service does not sponsor an operation. How often each client asked is counted by
// whoever runs this: the service's URL is a proxy's.
import assert from "node:assert/strict";
import { BaseError, RpcRequestError } from "viem";
import { check } from "./check.js";
import { VERSIONS, senders } from "./senders.js";

/** Nobody sponsors calls to it. */
const STRANGER = "0x9999999999999999999999999999999999999999";

for (const version of VERSIONS) {
  for (const { name, bundler } of await senders(version)) {
    await check(`${name}, v${version}: the error says why`, async () => {
      const error: unknown = await bundler.sendUserOperation({ calls: [{ to: STRANGER, data: "0x01020304" }] }).then(
        () => assert.fail("it was sponsored"),
        (refused: unknown) => refused,
      );
      assert.ok(error instanceof BaseError, String(error));
      const rpc = error.walk((cause) => cause instanceof RpcRequestError);
      assert.ok(rpc instanceof RpcRequestError, String(error));
      const { reason, policyId } = rpc.data as { reason: string; policyId: string };
      assert.equal(rpc.code, -32050);
      assert.ok(policyId);
      assert.ok(reason.toLowerCase().includes(STRANGER), reason);
      assert.ok(error.message.includes(reason), error.message);
    });
  }
}
