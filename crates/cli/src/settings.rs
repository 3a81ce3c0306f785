use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use ureq::http::Uri;

use crate::api::Api;
use crate::args::Connection;
use crate::exit::{Code, Failure};

const LOCAL: &str = "http://localhost:8787";

/// What the configuration file says.
#[derive(Default)]
struct File {
    url: Option<String>,
    token: Option<String>,
}

/// The Worker at the address, with the token, that the arguments, the environment or the configuration file give, in
/// this order. For a Worker on this machine, the token that `npm start` made in `.dev.vars` will do.
pub fn connect(connection: &Connection) -> Result<Api, Failure> {
    let file = configuration(connection.config.as_deref())?;
    let given = connection.url.clone().filter(|url| !url.is_empty());
    let url = given.or(file.url).unwrap_or_else(|| LOCAL.to_owned());
    let url = url.trim_end_matches('/').to_owned();
    let read: Option<Uri> = url.parse().ok();
    let host = read.as_ref().and_then(Uri::host);
    let local = matches!(host, Some("localhost" | "127.0.0.1" | "[::1]"));
    let scheme = read.as_ref().and_then(Uri::scheme_str).filter(|_| host.is_some());
    if scheme != Some("https") && !(local && scheme == Some("http")) {
        let expected = "expected an `https://` address, so that nobody on the way reads the token";
        return Err(Failure::new(Code::BadInput, format!("the address is `{url}`: {expected}")));
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
            Err(Failure::new(Code::BadInput, "the token holds blanks or characters that no token has"))
        }
        None => Err(Failure::new(
            Code::Refused,
            "there is no token: set MARK_STALE_DRAFTS_TOKEN, or give --token-file, or write `token = \"…\"` into the configuration file",
        )),
    }
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| Failure::new(Code::BadInput, format!("`{}` can't be read: {error}", path.display())))
}

/// The folder of the user's configuration, or of what is kept between runs.
pub fn folder(state: bool) -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    let base = if state {
        strategy.state_dir().unwrap_or_else(|| strategy.data_dir())
    } else {
        strategy.config_dir()
    };
    Some(base.join("mark-stale-drafts"))
}

fn configuration(given: Option<&Path>) -> Result<File, Failure> {
    let Some(path) = given.map(Path::to_owned).or_else(|| Some(folder(false)?.join("config.toml"))) else {
        return Ok(File::default());
    };
    let wrong = |what: String| Failure::new(Code::BadInput, format!("`{}`: {what}", path.display()));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if given.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(File::default());
        }
        Err(error) => return Err(wrong(format!("it can't be read: {error}"))),
    };
    let table: toml::Table = text.parse().map_err(|error| wrong(format!("it is no TOML: {error}")))?;
    let mut file = File::default();
    for (key, value) in &table {
        let text = value.as_str().map(str::to_owned);
        match (key.as_str(), text) {
            ("url", Some(text)) => file.url = Some(text),
            ("token", Some(text)) => file.token = Some(text),
            ("url", None) => return Err(wrong(String::from("`url` is no text: expected it in quotes"))),
            // Not quoted: it may be the token itself, without its quotes.
            ("token", None) => return Err(wrong(String::from("`token` is no text: expected it in quotes"))),
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
        anstream::eprintln!("warning: others can read the token in `{0}`: chmod 600 {0}", path.display());
    }
}

#[cfg(not(unix))]
fn warn_if_readable(_path: &Path) {}

/// `CLEANUP_TOKEN` of the file that `npm start` makes, where the command runs in the project's folder.
fn dev_vars() -> Option<String> {
    let text = std::fs::read_to_string(".dev.vars").ok()?;
    text.lines().find_map(|line| line.strip_prefix("CLEANUP_TOKEN=")).map(str::to_owned)
}
