// Named checks, one after the other, and what a refusal says.
import assert from "node:assert/strict";
import { BaseError, type Hex, RpcRequestError, decodeErrorResult } from "viem";
import { abi } from "../abi.js";

/** Says that the check holds, or ends the program with its name. */
export async function check(name: string, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    console.error(`not so: ${name}`);
    throw error;
  }
  console.log(`holds: ${name}`);
}

export interface Refusal {
  code: number;
  message: string;
  data: unknown;
}

/** The JSON-RPC error that this was refused with. */
export async function refusal(sending: Promise<unknown>): Promise<Refusal> {
  try {
    await sending;
  } catch (error) {
    const rpc = error instanceof BaseError ? error.walk((cause) => cause instanceof RpcRequestError) : null;
    if (!(rpc instanceof RpcRequestError)) throw error;
    return { code: rpc.code, message: rpc.details, data: rpc.data };
  }
  return assert.fail("it was accepted");
}

/** The account's own error in a refusal, such as `CallNotAllowed`, with its arguments. */
export function accountError({ message }: Refusal): { name: string; args: readonly unknown[] } {
  const data = /^AA23 reverted: (0x[0-9a-f]{8,})$/.exec(message)?.[1] as Hex | undefined;
  if (!data) return assert.fail(`no error of the account's: ${message}`);
  const { errorName, args = [] } = decodeErrorResult({ abi: abi.account, data });
  return { name: errorName, args };
}
