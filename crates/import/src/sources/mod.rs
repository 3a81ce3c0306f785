//! The sources: files in each form that a Firestore app can have, recognised by what they hold.

mod export;
mod json;
mod plain;
mod typed;

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::document::Item;

/// Takes what is read, one after the other, and says whether to go on.
pub type Each<'a> = &'a mut dyn FnMut(Item) -> ControlFlow<()>;

/// What to read.
#[derive(Debug, Default)]
pub struct Sources {
    /// Files and folders; `-` is stdin.
    pub paths: Vec<PathBuf>,
    /// What a file of `node-firestore-import-export` holds, if it is less than the whole database: the tool's own `--nodePath`.
    pub node_path: Option<String>,
    /// How many bytes have been read, for whoever shows the progress.
    pub bytes_read: AtomicU64,
}

/// A source that can't be read to its end.
#[derive(Debug)]
pub struct SourceError {
    /// The file.
    pub path: PathBuf,
    /// Why, and what would be right.
    pub reason: String,
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}`: {}", self.path.display(), self.reason)
    }
}

impl std::error::Error for SourceError {}

impl Sources {
    /// These files and folders.
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Sources { paths: paths.into_iter().map(Into::into).collect(), ..Sources::default() }
    }

    /// How many bytes there are, as far as that is known.
    pub fn bytes(&self) -> u64 {
        let files = self.paths.iter().map(|path| export::files(path).unwrap_or_else(|_| vec![path.clone()]));
        files
            .flatten()
            .filter_map(|path| path.metadata().ok())
            .map(|file| file.len())
            .fold(0, u64::saturating_add)
    }

    /// Reads all documents, holding one at a time.
    ///
    /// # Errors
    ///
    /// [`SourceError`] if a file can't be read to its end. What is wrong with one document is an [`Item`].
    pub fn read(&self, each: Each<'_>) -> Result<(), SourceError> {
        self.bytes_read.store(0, Ordering::Relaxed);
        for path in &self.paths {
            let done = if path.is_dir() {
                export::read_folder(path, &self.bytes_read, each)?
            } else {
                self.read_file(path, each)?
            };
            if done.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read_file(&self, path: &Path, each: Each<'_>) -> Result<ControlFlow<()>, SourceError> {
        let failed = |error: io::Error| at(path, error.to_string());
        let raw: Box<dyn Read> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path).map_err(failed)?)
        };
        let mut raw = Counted { inner: raw, bytes: &self.bytes_read };
        let mut head = Vec::new();
        (&mut raw).take(HEAD).read_to_end(&mut head).map_err(failed)?;
        let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
        match first {
            None => Err(at(path, "it is empty: expected documents".into())),
            Some(b'{' | b'[') => json::read(path, &head, &mut raw, self.node_path.as_deref(), each),
            // A byte order mark.
            Some(0xef) if head.starts_with(b"\xef\xbb\xbf") => {
                json::read(path, head.get(3..).unwrap_or_default(), &mut raw, self.node_path.as_deref(), each)
            }
            _ if head.starts_with(b"\x1f\x8b") || head.starts_with(b"PK\x03\x04") => {
                Err(at(path, "it is compressed: unpack it first".into()))
            }
            _ if export::is_log(&head) => {
                if path.extension().is_some_and(|extension| extension.to_string_lossy().ends_with("_metadata")) {
                    return Err(at(path, "it holds no documents: name the export's folder instead".into()));
                }
                export::read(path, &mut io::Cursor::new(head).chain(raw), each)
            }
            _ => Err(at(
                path,
                "it is none of the forms that can be read: expected JSON of the REST API, a document a line, \
                 the JSON of `firestore-export-import` or `node-firestore-import-export`, or the folder of \
                 `gcloud firestore export`"
                    .into(),
            )),
        }
    }
}

/// A value of a mapping.
pub fn constant(json: &serde_json::Value) -> crate::document::Value {
    plain::value(json)
}

/// By how many bytes a form is recognised.
const HEAD: u64 = 64 * 1024;

fn at(path: &Path, reason: String) -> SourceError {
    SourceError { path: path.to_owned(), reason }
}

/// Counts what passes.
struct Counted<'a, R> {
    inner: R,
    bytes: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
