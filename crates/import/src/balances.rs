//! A file with the balance of each user: `{"ada": 80, "ben": 0}`.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::Path;

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::Value as Json;

use crate::sources::SourceError;

type Each<'a> = &'a mut dyn FnMut(&str, &Json) -> ControlFlow<()>;

/// Reads it, a user at a time.
pub fn read(path: &Path, each: Each<'_>) -> Result<(), SourceError> {
    let failed = |reason: String| SourceError { path: path.to_owned(), reason };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut deserializer = serde_json::Deserializer::from_reader(BufReader::new(file));
    let mut stopped = false;
    let read = deserializer.deserialize_map(Balances { each, stopped: &mut stopped });
    if stopped {
        return Ok(());
    }
    read.and_then(|()| deserializer.end()).map_err(|error| failed(error.to_string()))
}

struct Balances<'a> {
    each: Each<'a>,
    stopped: &'a mut bool,
}

impl<'de> Visitor<'de> for Balances<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of balances, such as `{\"ada\": 80}`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((user_id, tokens)) = map.next_entry::<String, Json>()? {
            if (self.each)(&user_id, &tokens).is_break() {
                *self.stopped = true;
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
