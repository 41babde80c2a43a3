// Jobs as a client asks for them.
import { type Address, type Hex, type Log, decodeEventLog, encodeFunctionData, isAddressEqual, keccak256, stringToHex } from "viem";
import { abi } from "./abi.js";
import type { Session } from "./session.js";

export interface Call {
  to: Hex;
  data: Hex;
}

export function approve({ deployment }: Session, amount: bigint, spender = deployment.paymentEscrow): Call {
  return { to: deployment.token, data: encodeFunctionData({ abi: abi.token, functionName: "approve", args: [spender, amount] }) };
}

export function postJob({ deployment, host }: Session, amount: bigint, prompt: string, other: { modelId?: Hex; deadline?: number } = {}): Call {
  const job = {
    host: host.account,
    token: deployment.token,
    amount,
    modelId: deployment.models[host.model]!,
    deadline: Math.floor(Date.now() / 1000) + 3600,
    proofRequired: false,
    inputHash: keccak256(stringToHex(prompt)),
    inputURI: `data:,${encodeURIComponent(prompt)}`,
    ...other,
  };
  return callJobs({ deployment }, "postJob", [job]);
}

export function callJobs({ deployment }: Pick<Session, "deployment">, functionName: string, args: unknown[]): Call {
  return { to: deployment.jobMarketplace, data: encodeFunctionData({ abi: abi.jobs, functionName, args }) };
}

/** The ids of the jobs that these logs tell of. */
export function postedJobs(logs: Log[], marketplace: Address): Hex[] {
  const events = logs.filter((log) => isAddressEqual(log.address, marketplace)).map((log) => decodeEventLog({ abi: abi.jobs, ...log }));
  return events.filter((event) => event.eventName === "JobPosted").map((event) => (event.args as unknown as { jobId: Hex }).jobId);
}
