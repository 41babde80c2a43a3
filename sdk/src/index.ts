// Sessions that act within limits, and conversations that are paid by vouchers.
export { type FabstirAccount, type SponsoredClient, sponsored, toFabstirAccount } from "./account.js";
export { type Deployment, type Marketplace, sessionDomain, voucherTypes } from "./marketplace.js";
export { type Consent, type SignedQuote, type SignedVoucher, type Quote, type Voucher } from "./marketplace.js";
export { Chat } from "./chat.js";
export { HostChat, consentTo, signQuote } from "./host.js";
export {
  type Granted, type GrantParameters, type MarketplaceLimits, type NewSession, type PermissionKind, Permission, fabstirActions, marketplacePermission,
  tokenPermission,
} from "./session.js";
export { ServiceError } from "./rpc.js";
