use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::exit::{Code, Error};

/// A file that has its name only once it is whole. Until then it ends in `.part`, and goes if the command fails. A device or a pipe
/// keeps its name.
pub struct Whole {
    file: Option<BufWriter<File>>,
    part: Option<PathBuf>,
    path: PathBuf,
}

impl Whole {
    /// Begins it.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let is_device = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
        let part = (!is_device).then(|| {
            let mut part = path.as_os_str().to_owned();
            part.push(".part");
            PathBuf::from(part)
        });
        let file = File::create(part.as_deref().unwrap_or(path)).map_err(|error| cannot(path, &error))?;
        Ok(Whole { file: Some(BufWriter::new(file)), part, path: path.to_owned() })
    }

    /// Gives it its name.
    pub fn finish(mut self) -> Result<(), Error> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let whole = file.into_inner().map_err(io::IntoInnerError::into_error);
        let named = whole.and_then(|file| match &self.part {
            Some(part) => file.sync_all().and_then(|()| fs::rename(part, &self.path)),
            None => Ok(()),
        });
        named.map_err(|error| cannot(&self.path, &error))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // After `finish` there is none.
        if let Some(part) = &self.part {
            let _ = fs::remove_file(part);
        }
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

fn cannot(path: &Path, error: &io::Error) -> Error {
    Error::new(Code::Failed, format!("`{}` can't be written: {error}", path.display()))
}
