// Amounts and times as people read them. Amounts come as hex quantities.

const ETHER = 10n ** 18n;

/** A decimal number of so many digits after the point at most, without zeros at its end. */
function decimal(value, unit, digits) {
  const scale = 10n ** BigInt(digits);
  const scaled = (value * scale + unit / 2n) / unit;
  const [whole, part] = [scaled / scale, scaled % scale];
  const fraction = part.toString().padStart(digits, "0").replace(/0+$/, "");
  return fraction ? `${whole}.${fraction}` : `${whole}`;
}

export function ether(quantity) {
  const wei = BigInt(quantity);
  if (wei === 0n) return "0 ETH";
  if (wei < 10n ** 9n) return `${wei} wei`;
  if (wei < 10n ** 14n) return `${decimal(wei, 10n ** 9n, 1)} gwei`;
  return `${decimal(wei, ETHER, wei < ETHER ? 6 : 4)} ETH`;
}

/** By the name that the API gives to a unit. */
export function amount(quantity, unit) {
  const value = BigInt(quantity);
  if (unit === "wei") return ether(value);
  if (unit === "millionths of a dollar") return `$${decimal(value, 1_000_000n, 2)}`;
  return value.toString();
}

export const short = (hex) => (hex.length > 14 ? `${hex.slice(0, 8)}…${hex.slice(-6)}` : hex);

export const day = (seconds) =>
  new Date(seconds * 1000).toLocaleDateString("en", { month: "short", day: "numeric", timeZone: "UTC" });

export const moment = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").replace(".000Z", " UTC");

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

/** `in 3 h 12 min`. */
export function until(seconds, now = Date.now() / 1000) {
  const left = Math.max(0, Math.round((seconds - now) / 60));
  if (left < 1) return "in less than a minute";
  if (left < 60) return `in ${left} min`;
  if (left < 48 * 60) return `in ${Math.floor(left / 60)} h ${left % 60} min`;
  return `in ${Math.round(left / 1440)} days`;
}
