use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::Value;
use stale_drafts_import::mapping::{Field, Unit, Word, Zone};

/// Where to import from, and the comparison afterwards.
#[derive(Debug, Subcommand)]
pub enum Import {
    /// Write SQL that brings in the users and creations of a Firestore app.
    ///
    /// Without a mapping it guesses one, shows what that would give, and writes nothing: save what it prints, or pass
    /// --accept-guesses. Run the SQL by `wrangler d1 execute NAME --file import.sql`.
    Firestore {
        #[command(flatten)]
        source: Source,
        /// Use a guessed mapping as it is.
        #[arg(long)]
        accept_guesses: bool,
        /// Count what would be imported, and write nothing.
        #[arg(long)]
        dry_run: bool,
        /// The file to write; `-` is stdout.
        #[arg(long, short, value_name = "FILE", default_value = "import.sql")]
        output: PathBuf,
        /// Where to list what can't be read [default: unreadable.ndjson beside the output].
        #[arg(long, value_name = "FILE")]
        unreadable: Option<PathBuf>,
    },
    /// Compare the database with the source, after an import. Reads only.
    Verify {
        #[command(flatten)]
        source: Source,
        /// Use a guessed mapping as it is.
        #[arg(long)]
        accept_guesses: bool,
        /// The database's name or binding, as wrangler knows it.
        #[arg(long, value_name = "NAME")]
        database: String,
        /// The deployed database.
        #[arg(long, conflicts_with = "local")]
        remote: bool,
        /// The local one, which is the default.
        #[arg(long)]
        local: bool,
        /// How to call wrangler.
        #[arg(
            long,
            value_name = "COMMAND",
            env = "MARK_STALE_DRAFTS_WRANGLER",
            default_value = "npx wrangler"
        )]
        wrangler: String,
    },
}

/// What to read, and how.
#[derive(Debug, Args)]
pub struct Source {
    /// Files of JSON, or the folder of a managed export; `-` is stdin.
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// The mapping: a file of JSON. The options below replace its parts.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// The collection of creations, such as `creations` or `users/{user_id}/creations`.
    #[arg(long, value_name = "PATH")]
    pub collection: Option<String>,
    /// The collection of users.
    #[arg(long, value_name = "PATH")]
    pub users: Option<String>,
    /// A file of JSON with each user's balance, such as `{"ada": 80}`, instead of a collection.
    #[arg(long, value_name = "FILE", conflicts_with = "users")]
    pub balances: Option<PathBuf>,
    /// What a field is called there, such as `kind=creationType`.
    #[arg(long = "field", value_name = "OURS=THEIRS", value_parser = pair::<Field, String>)]
    pub fields: Vec<(Field, String)>,
    /// What stands for a field where it is missing, such as `kind=image`.
    #[arg(long = "value", value_name = "OURS=VALUE", value_parser = constant)]
    pub values: Vec<(Field, Value)>,
    /// What a status is called there, such as `completed=draft`.
    #[arg(long = "status", value_name = "THEIRS=OURS", value_parser = pair::<String, Word>)]
    pub statuses: Vec<(String, Word)>,
    /// The unit of times that are numbers: seconds or milliseconds.
    #[arg(long, value_name = "UNIT")]
    pub times: Option<Unit>,
    /// What times in text mean that have no offset: utc.
    #[arg(long, value_name = "ZONE")]
    pub times_without_offset: Option<Zone>,
    /// What a file of `node-firestore-import-export` holds, if it is not the whole database: its own `--nodePath`.
    #[arg(long, value_name = "PATH")]
    pub node_path: Option<String>,
}

fn pair<A, B>(text: &str) -> Result<(A, B), String>
where
    A: std::str::FromStr,
    B: std::str::FromStr,
    A::Err: ToString,
    B::Err: ToString,
{
    // A word of another system may have an `=`, ours have none.
    let (left, right) = text
        .rsplit_once('=')
        .ok_or_else(|| format!("`{text}` has no `=`: expected such as `kind=creationType`"))?;
    Ok((
        left.parse().map_err(|error: A::Err| error.to_string())?,
        right.parse().map_err(|error: B::Err| error.to_string())?,
    ))
}

/// A number, true, false, or else text.
fn constant(text: &str) -> Result<(Field, Value), String> {
    let (field, value) =
        text.split_once('=').ok_or_else(|| format!("`{text}` has no `=`: expected such as `kind=image`"))?;
    let scalar =
        serde_json::from_str(value).ok().filter(|value: &Value| !value.is_array() && !value.is_object());
    Ok((field.parse()?, scalar.unwrap_or_else(|| value.into())))
}
