/**
 * The bucket of a user, from 0 to 4,095: with several databases, it says in which one all that is of the user is.
 *
 * @throws TypeError for what is no text.
 * @example
 * bucketOf("ada"); // 1410
 */
export function bucketOf(user_id: string): number;
