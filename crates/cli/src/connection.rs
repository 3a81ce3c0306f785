use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use ureq::http::Uri;

use crate::api::Api;
use crate::args::Connection;
use crate::exit::{Code, Error};
use crate::output::note;

const LOCAL: &str = "http://localhost:8787";

/// What the configuration file says.
#[derive(Default)]
struct File {
    url: Option<String>,
    token: Option<String>,
}

/// Connects to the Worker. Address and token come from the arguments, else from the environment, else from the configuration
/// file. For a Worker on this machine, `CLEANUP_TOKEN` in `.dev.vars` is the last resort: `npm start` makes it.
pub fn connect(connection: &Connection) -> Result<Api, Error> {
    let file = configuration(connection.config.as_deref())?;
    let given = connection.url.clone().filter(|url| !url.is_empty());
    let url = given.or(file.url).unwrap_or_else(|| LOCAL.to_owned());
    let url = url.trim_end_matches('/').to_owned();
    let read: Option<Uri> = url.parse().ok();
    let host = read.as_ref().and_then(Uri::host);
    let local = matches!(host, Some("localhost" | "127.0.0.1" | "[::1]"));
    let scheme = read.as_ref().and_then(Uri::scheme_str).filter(|_| host.is_some());
    if scheme != Some("https") && !(local && scheme == Some("http")) {
        let message = format!(
            "invalid address `{url}`: expected `https://…`, so that nobody on the way can read the token"
        );
        return Err(Error::new(Code::InvalidInput, message));
    }
    let some = |token: &String| !token.is_empty();
    let token = match (connection.token.clone().filter(some), &connection.token_file) {
        (Some(token), _) => Some(token),
        (None, Some(path)) => Some(read_token(path)?),
        (None, None) => std::env::var("MARK_STALE_DRAFTS_TOKEN")
            .ok()
            .filter(some)
            .or(file.token)
            .or_else(|| if local { dev_vars() } else { None }),
    };
    let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
    match token {
        Some(token) if token.chars().all(|character| character.is_ascii_graphic()) => {
            Ok(Api::new(url, token))
        }
        Some(_) => {
            Err(Error::new(Code::InvalidInput, "invalid token: expected printable ASCII without spaces"))
        }
        None => Err(Error::new(
            Code::Refused,
            "there is no token: set MARK_STALE_DRAFTS_TOKEN, or give --token-file, or write `token = \"…\"` into the configuration file",
        )),
    }
}

fn read_token(path: &Path) -> Result<String, Error> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| {
        Error::new(Code::InvalidInput, format!("`{}` can't be read: {error}", path.display()))
    })
}

fn config_file() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.config_dir().join("mark-stale-drafts/config.toml"))
}

fn configuration(given: Option<&Path>) -> Result<File, Error> {
    let Some(path) = given.map(Path::to_owned).or_else(config_file) else {
        return Ok(File::default());
    };
    let wrong = |what: String| Error::new(Code::InvalidInput, format!("`{}`: {what}", path.display()));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(File::default());
        }
        Err(error) => return Err(wrong(format!("it can't be read: {error}"))),
    };
    let table: toml::Table = text.parse().map_err(|error| wrong(format!("invalid TOML: {error}")))?;
    let mut file = File::default();
    for (key, value) in &table {
        let text = value.as_str().map(str::to_owned);
        match (key.as_str(), text) {
            ("url", Some(text)) => file.url = Some(text),
            ("token", Some(text)) => file.token = Some(text),
            ("url", None) => return Err(wrong(String::from("invalid `url`: expected text in quotes"))),
            // The message does not show the value: it may be a token without its quotes.
            ("token", None) => return Err(wrong(String::from("invalid `token`: expected text in quotes"))),
            _ => return Err(wrong(format!("unknown key `{key}`: expected `url` or `token`"))),
        }
    }
    if file.token.is_some() {
        warn_if_readable(&path);
    }
    Ok(file)
}

#[cfg(unix)]
fn warn_if_readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        note(format!("warning: others can read the token in `{0}`: chmod 600 {0}", path.display()));
    }
}

#[cfg(not(unix))]
fn warn_if_readable(_path: &Path) {}

/// `CLEANUP_TOKEN` in the file that `npm start` makes, if the command runs in the project's folder.
fn dev_vars() -> Option<String> {
    let text = std::fs::read_to_string(".dev.vars").ok()?;
    text.lines().find_map(|line| line.strip_prefix("CLEANUP_TOKEN=")).map(str::to_owned)
}
