// Which bucket a user belongs to: the same as `rules::Bucket` in Rust.

/**
 * FNV-1a with 32 bits over the UTF-8 bytes, folded to 12 bits.
 * @param {string} user_id
 */
export function bucketOf(user_id) {
  if (typeof user_id !== "string") throw new TypeError(`\`user_id\` is \`${String(user_id)}\`: expected text`);
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(user_id)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash ^ (hash >>> 16)) & 4095;
}
