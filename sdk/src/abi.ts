// The parts of the contracts that are called here.
import { parseAbi } from "viem";

export const accountAbi = parseAbi([
  "struct Call { address target; uint256 value; bytes data; }",
  "function execute(address target, uint256 value, bytes data)",
  "function executeBatch(Call[] calls)",
]);

export const factoryAbi = parseAbi([
  "function createAccount(bytes[] owners, uint256 nonce) payable returns (address)",
  "function getAddress(bytes[] owners, uint256 nonce) view returns (address)",
]);

export const tokenAbi = parseAbi([
  "function approve(address spender, uint256 value) returns (bool)",
  "function balanceOf(address account) view returns (uint256)",
]);

export const sessionsAbi = parseAbi([
  "struct SessionQuote { address host; address payer; bytes32 modelId; address token; uint80 pricePerMillion; uint88 minDeposit; uint88 maxDeposit; uint32 duration; uint40 validUntil; }",
  "struct Voucher { bytes32 sessionId; uint256 cumulativeAmount; uint256 tokens; bytes32 transcriptRoot; }",
  "struct Session { address payer; address host; address token; address voucherKey; bytes32 modelId; uint80 pricePerMillion; uint16 feeBps; uint8 status; uint88 deposit; uint88 settled; uint40 settleUntil; uint24 grace; }",
  "function openSession(SessionQuote quote, bytes hostSignature, uint256 deposit, address voucherKey) payable returns (bytes32)",
  "function closeWithHost(bytes32 sessionId, uint256 finalAmount, uint256 validUntil, bytes hostSignature)",
  "function startClose(bytes32 sessionId)",
  "function closeByHost(Voucher voucher, bytes signature)",
  "function settle(Voucher voucher, bytes signature) returns (uint256)",
  "function sessionOf(bytes32 sessionId) view returns (Session)",
  "event SessionOpened(bytes32 indexed sessionId, address indexed payer, address indexed host, bytes32 modelId, address token, uint256 pricePerMillion, uint256 deposit, address voucherKey, uint256 feeBps, uint256 deadline)",
]);
