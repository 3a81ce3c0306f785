//! Records in LevelDB's log format: blocks of 32 KiB, and in them pieces of records, each with a checksum.
//!
//! The crates that read it keep their reader to themselves, or write only.

use std::io::{ErrorKind, Read};

const BLOCK: usize = 32 * 1024;
/// Before each piece: its checksum (4 bytes), its length (2), and which piece of a record it is (1).
const HEADER: usize = 7;

/// The pieces: a whole record, or its first, middle and last ones.
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Reads records, one block at a time.
pub struct Records<R> {
    reader: R,
    block: Vec<u8>,
    /// How much of the block has been read.
    at: usize,
    /// Where the block begins in the file.
    offset: u64,
    record: Vec<u8>,
    begun: u64,
}

impl<R: Read> Records<R> {
    /// The records that a reader gives.
    pub fn new(reader: R) -> Self {
        Records { reader, block: Vec::new(), at: 0, offset: 0, record: Vec::new(), begun: 0 }
    }

    /// Where the last record begins in the file.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    ///
    /// In words: a checksum or a piece that is wrong. What follows can't be relied on.
    pub fn next(&mut self) -> Result<Option<&[u8]>, String> {
        self.record.clear();
        let mut open = false;
        loop {
            let Some((kind, position, length)) = self.piece()? else {
                return if open {
                    Err(self.wrong("the last record is cut off: copy the file again"))
                } else {
                    Ok(None)
                };
            };
            if (kind == FULL || kind == FIRST) == open {
                return Err(self.wrong("the pieces of a record are out of order"));
            }
            if !open {
                self.begun = self.offset.saturating_add(position as u64);
            }
            let end = position.saturating_add(length);
            self.record.extend_from_slice(self.block.get(position..end).unwrap_or_default());
            open = true;
            if kind == FULL || kind == LAST {
                return Ok(Some(&self.record));
            }
        }
    }

    /// The next piece: its kind, and where it is in the block.
    fn piece(&mut self) -> Result<Option<(u8, usize, usize)>, String> {
        loop {
            let rest = self.block.get(self.at..).unwrap_or_default();
            let Some((header, data)) = rest.split_first_chunk::<HEADER>() else {
                // The end of a block that has no room for a header is filled with zeros.
                if rest.iter().any(|byte| *byte != 0) {
                    return Err(self.wrong("a header is cut off: copy the file again"));
                }
                if !self.fill()? {
                    return Ok(None);
                }
                continue;
            };
            let [c0, c1, c2, c3, l0, l1, kind] = *header;
            let length = usize::from(u16::from_le_bytes([l0, l1]));
            if kind == 0 && length == 0 {
                // Padding.
                self.at = self.block.len();
                continue;
            }
            let Some(data) = data.get(..length) else {
                return Err(self.wrong("a record is cut off: copy the file again"));
            };
            if !matches!(kind, FULL | FIRST | MIDDLE | LAST) {
                return Err(self.wrong(&format!("`{kind}` is no piece of a record: expected 1 to 4")));
            }
            if masked(crc32c::crc32c_append(crc32c::crc32c(&[kind]), data))
                != u32::from_le_bytes([c0, c1, c2, c3])
            {
                return Err(self.wrong("a checksum does not match: copy the file again"));
            }
            let position = self.at.saturating_add(HEADER);
            self.at = position.saturating_add(length);
            return Ok(Some((kind, position, length)));
        }
    }

    /// Reads the next block; false if there is none.
    fn fill(&mut self) -> Result<bool, String> {
        self.offset = self.offset.saturating_add(self.block.len() as u64);
        self.at = 0;
        self.block.resize(BLOCK, 0);
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(self.block.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => filled = filled.saturating_add(read),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        self.block.truncate(filled);
        Ok(filled > 0)
    }

    fn wrong(&self, what: &str) -> String {
        format!("{what} (at byte {})", self.offset.saturating_add(self.at as u64))
    }
}

/// Whether a file that begins so is a log: its first piece has the right checksum. A piece never goes beyond its block.
pub fn is_log(head: &[u8]) -> bool {
    matches!(Records::new(head).piece(), Ok(Some((FULL | FIRST, ..))))
}

/// LevelDB stores a checksum turned and moved, for a log may hold logs.
const fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
