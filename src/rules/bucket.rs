/// How many buckets there are. It can't change: ids carry theirs.
pub const BUCKETS: u16 = 4_096;

/// One of [`BUCKETS`] groups of users. With several databases, each has some of the buckets, and so all that is of a user is in one
/// of them.
///
/// The bucket of a user is FNV-1a with 32 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>) over the UTF-8 bytes of the id, folded to
/// 12 bits: `(hash ^ (hash >> 16)) & 4095`. JavaScript (`bucketOf` of `stale-drafts/shards`) and SQL (docs/scale.md) give the same.
///
/// ```
/// use stale_drafts::rules::Bucket;
///
/// assert_eq!(Bucket::of_user("ada").number(), 1_410);
/// assert_eq!(Bucket::of_id("019acf1e-7a00-8582-9c3d-2f1e0a9b8c7d"), Some(Bucket::of_user("ada")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    /// The first one.
    pub const FIRST: Bucket = Bucket(0);
    /// The last one.
    pub const LAST: Bucket = Bucket(BUCKETS - 1);

    /// The bucket with this number, from 0 to 4,095.
    pub const fn new(number: u16) -> Option<Self> {
        if number < BUCKETS { Some(Bucket(number)) } else { None }
    }

    /// The one of a user.
    pub fn of_user(user_id: &str) -> Self {
        let hash = user_id
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let [.., high, low] = (hash ^ (hash >> 16)).to_be_bytes();
        Bucket(u16::from_be_bytes([high & 0x0f, low]))
    }

    /// The one that an id of a creation carries: a UUID of version 8 has it in the 12 bits after the version. Any other id, such as one
    /// that an app chose, carries none. An app may have made the UUID itself: only the database of the bucket knows.
    pub fn of_id(id: &str) -> Option<Self> {
        let bytes: &[u8; 36] = id.as_bytes().try_into().ok()?;
        let well_formed = (0_usize..).zip(bytes).all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 => *byte == b'8',
            _ => byte.is_ascii_hexdigit(),
        });
        let number = id.get(15..18).filter(|_| well_formed)?;
        u16::from_str_radix(number, 16).ok().and_then(Bucket::new)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }
}
