use serde_json::{Map, Value};

use super::{ConfigError, quoted, table, text, unknown};

/// What a credential allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To see creations, sweeps, the ledger and the diagnosis of every user.
    Read,
    /// To sweep.
    Sweep,
    /// To report what workers do.
    Report,
}

impl Scope {
    /// All of them.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Sweep, Scope::Report];

    /// The word in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Sweep => "sweep",
            Scope::Report => "report",
        }
    }
}

/// How tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256, and the secret `JWT_SECRET`.
    #[default]
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
}

impl Algorithm {
    /// The name in JWT headers and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        }
    }
}

/// How the users' tokens are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// How they are signed.
    pub algorithm: Algorithm,
    /// Where the issuer publishes its keys; there unless the algorithm is HS256.
    pub jwks_url: Option<String>,
    /// The `iss` that a token must carry, if given.
    pub issuer: Option<String>,
    /// The `aud` that a token must carry, if given.
    pub audience: Option<String>,
    /// The cookie that holds the token where there is no `Authorization` header, if given.
    pub cookie: Option<String>,
}

/// A credential for operators and schedulers: a random token of which only the hash is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// What the audit calls it.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it allows.
    pub scopes: Vec<Scope>,
}

/// Somebody else who vouches for operators and schedulers with signed tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// What the audit calls it, before the email.
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` that a token must carry.
    pub audience: String,
    /// Where it publishes its keys.
    pub jwks_url: String,
    /// How it signs.
    pub algorithm: Algorithm,
    /// Only these may call; empty if everybody with a token for the audience may.
    pub emails: Vec<String>,
    /// Whether the token must say that the email is verified.
    pub email_verified: bool,
    /// Whether the token comes in `Cf-Access-Jwt-Assertion` instead of `Authorization`.
    pub access: bool,
    /// What its tokens allow.
    pub scopes: Vec<Scope>,
}

pub(super) fn users(value: &Value) -> Result<AuthConfig, ConfigError> {
    let table = table("auth", value)?;
    let mut auth = AuthConfig::default();
    let mut project = None;
    let mut algorithm = None;
    for (key, value) in table {
        let name = format!("auth.{key}");
        match key.as_str() {
            "preset" if value == "firebase" => {}
            "preset" => return Err(ConfigError(format!("`{name}` is `{value}`: expected `\"firebase\"`"))),
            "project" => project = Some(text(&name, value)?),
            "algorithm" => algorithm = Some(signing(&name, value)?),
            "jwks_url" => auth.jwks_url = Some(url(&name, value)?),
            "issuer" => auth.issuer = Some(text(&name, value)?),
            "audience" => auth.audience = Some(text(&name, value)?),
            "cookie" => auth.cookie = Some(text(&name, value)?),
            _ => {
                let keys = "`algorithm`, `jwks_url`, `issuer`, `audience`, `cookie`, `preset` or `project`";
                return Err(unknown(&name, keys));
            }
        }
    }
    match (table.contains_key("preset"), project) {
        (true, Some(project)) => {
            let own = ["algorithm", "jwks_url", "issuer", "audience"];
            if let Some(key) = own.iter().find(|key| table.contains_key(**key)) {
                return Err(ConfigError(format!(
                    "`auth.preset` and `auth.{key}` exclude each other: give one"
                )));
            }
            // https://firebase.google.com/docs/auth/admin/verify-id-tokens
            algorithm = Some(Algorithm::Rs256);
            auth.issuer = Some(format!("https://securetoken.google.com/{project}"));
            auth.audience = Some(project);
            auth.jwks_url = Some(String::from(
                "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com",
            ));
        }
        (true, None) => return Err(missing("auth.project", "the Firebase project's id")),
        (false, Some(_)) => return Err(missing("auth.preset", "`\"firebase\"`, beside `auth.project`")),
        (false, None) => {}
    }
    auth.algorithm = algorithm.unwrap_or_default();
    match (auth.algorithm, &auth.jwks_url) {
        (Algorithm::Hs256, Some(_)) => Err(ConfigError(String::from(
            "`auth.jwks_url` needs `auth.algorithm`: expected `\"RS256\"` or `\"ES256\"`",
        ))),
        (Algorithm::Rs256 | Algorithm::Es256, None) => {
            Err(missing("auth.jwks_url", "where the issuer publishes its keys"))
        }
        // A key set may serve several issuers and many audiences: without these, their tokens would open the drafts.
        (Algorithm::Rs256 | Algorithm::Es256, _) if auth.issuer.is_none() => {
            Err(missing("auth.issuer", "the `iss` of the tokens"))
        }
        (Algorithm::Rs256 | Algorithm::Es256, _) if auth.audience.is_none() => {
            Err(missing("auth.audience", "the `aud` of the tokens"))
        }
        _ => Ok(auth),
    }
}

pub(super) fn tokens(value: &Value) -> Result<Vec<ApiToken>, ConfigError> {
    let mut tokens: Vec<ApiToken> = Vec::new();
    for (at, table) in tables("api_tokens", value)? {
        let mut name = None;
        let mut sha256 = None;
        let mut allowed = None;
        for (key, value) in table {
            let path = format!("{at}.{key}");
            match key.as_str() {
                "name" => name = Some(text(&path, value)?),
                "sha256" => sha256 = Some(hash(&path, value)?),
                "scopes" => allowed = Some(scopes(&path, value)?),
                _ => return Err(unknown(&path, "`name`, `sha256` or `scopes`")),
            }
        }
        let token = ApiToken {
            name: name.ok_or_else(|| missing(&format!("{at}.name"), "what the audit calls the token"))?,
            sha256: sha256.ok_or_else(|| {
                missing(&format!("{at}.sha256"), "the hash that `mark-stale-drafts token` prints")
            })?,
            scopes: allowed
                .ok_or_else(|| missing(&format!("{at}.scopes"), "a list of `read`, `sweep` and `report`"))?,
        };
        own_name(&at, &token.name, tokens.iter().map(|other| &other.name))?;
        tokens.push(token);
    }
    Ok(tokens)
}

pub(super) fn issuers(value: &Value) -> Result<Vec<Issuer>, ConfigError> {
    let mut issuers: Vec<Issuer> = Vec::new();
    for (at, table) in tables("issuers", value)? {
        let issuer = issuer(&at, table)?;
        own_name(&at, &issuer.name, issuers.iter().map(|other| &other.name))?;
        issuers.push(issuer);
    }
    Ok(issuers)
}

fn issuer(at: &str, table: &Map<String, Value>) -> Result<Issuer, ConfigError> {
    let path = |key: &str| format!("{at}.{key}");
    let given = |key: &str| table.get(key).map(|value| text(&path(key), value)).transpose();
    let need = |key: &str, what: &str| given(key)?.ok_or_else(|| missing(&path(key), what));
    for key in table.keys() {
        let known = [
            "name",
            "preset",
            "team",
            "issuer",
            "audience",
            "jwks_url",
            "algorithm",
            "emails",
            "email_verified",
            "scopes",
        ];
        if !known.contains(&key.as_str()) {
            let keys = "`name`, `preset`, `team`, `issuer`, `audience`, `jwks_url`, `algorithm`, `emails`, `email_verified` or `scopes`";
            return Err(unknown(&path(key), keys));
        }
    }
    let emails = table.get("emails").map_or(Ok(Vec::new()), |value| texts(&path("emails"), value))?;
    let preset = given("preset")?;
    let own =
        ["issuer", "jwks_url", "algorithm", "email_verified"].iter().find(|key| table.contains_key(**key));
    if let (Some(_), Some(key)) = (&preset, own) {
        return Err(ConfigError(format!("`{at}.preset` and `{at}.{key}` exclude each other: give one")));
    }
    if table.contains_key("team") && preset.as_deref() != Some("cloudflare-access") {
        let expected = "expected it beside `preset = \"cloudflare-access\"`";
        return Err(ConfigError(format!("`{at}.team` is of no use here: {expected}")));
    }
    let (issuer, jwks_url, algorithm, access) = match preset.as_deref() {
        // https://developers.google.com/identity/openid-connect/openid-connect#discovery
        Some("google") => {
            if emails.is_empty() {
                // Anybody can have Google sign a token for any audience: only the email tells who it is.
                return Err(missing(&path("emails"), "the service account that may call"));
            }
            let keys = "https://www.googleapis.com/oauth2/v3/certs";
            (String::from("https://accounts.google.com"), keys.to_owned(), Algorithm::Rs256, false)
        }
        // https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/validating-json/
        Some("cloudflare-access") => {
            let team = need("team", "the team's name, as in `<team>.cloudflareaccess.com`")?;
            let issuer = format!("https://{team}.cloudflareaccess.com");
            let keys = format!("{issuer}/cdn-cgi/access/certs");
            (issuer, keys, Algorithm::Rs256, true)
        }
        Some(other) => {
            let expected = "expected `\"google\"` or `\"cloudflare-access\"`";
            return Err(ConfigError(format!("`{at}.preset` is `\"{other}\"`: {expected}")));
        }
        None => {
            let value = table
                .get("algorithm")
                .ok_or_else(|| missing(&path("algorithm"), "`\"RS256\"` or `\"ES256\"`"))?;
            let algorithm = signing(&path("algorithm"), value)?;
            if algorithm == Algorithm::Hs256 {
                return Err(ConfigError(format!(
                    "`{at}.algorithm` is `{value}`: expected `\"RS256\"` or `\"ES256\"`"
                )));
            }
            let keys = table
                .get("jwks_url")
                .ok_or_else(|| missing(&path("jwks_url"), "where the issuer publishes its keys"))?;
            (need("issuer", "the `iss` of its tokens")?, url(&path("jwks_url"), keys)?, algorithm, false)
        }
    };
    let email_verified = match table.get("email_verified") {
        // Access' tokens don't say it: the team's own identity provider vouches for the email.
        None => !access && !emails.is_empty(),
        Some(Value::Bool(value)) => *value,
        Some(value) => {
            return Err(ConfigError(format!(
                "`{at}.email_verified` is `{value}`: expected `true` or `false`"
            )));
        }
    };
    Ok(Issuer {
        name: need("name", "what the audit calls it")?,
        audience: need("audience", "the `aud` of its tokens")?,
        scopes: table.get("scopes").map_or_else(
            || Err(missing(&path("scopes"), "a list of `read`, `sweep` and `report`")),
            |value| scopes(&path("scopes"), value),
        )?,
        issuer,
        jwks_url,
        algorithm,
        emails,
        email_verified,
        access,
    })
}

/// The audit tells callers apart by their names.
fn own_name<'a>(
    at: &str,
    name: &String,
    mut others: impl Iterator<Item = &'a String>,
) -> Result<(), ConfigError> {
    if others.any(|other| other == name) {
        return Err(ConfigError(format!("`{at}.name` is `{name}` a second time: give each its own")));
    }
    Ok(())
}

fn signing(key: &str, value: &Value) -> Result<Algorithm, ConfigError> {
    [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256]
        .into_iter()
        .find(|algorithm| value == algorithm.as_str())
        .ok_or_else(|| {
            ConfigError(format!("`{key}` is `{value}`: expected `\"HS256\"`, `\"RS256\"` or `\"ES256\"`"))
        })
}

/// Keys come over TLS, or from this machine, for tests.
pub(super) fn url(key: &str, value: &Value) -> Result<String, ConfigError> {
    let text = text(key, value)?;
    // A port, and then the path: what has an `@` there is another host's.
    let port = |rest: &str| {
        let port = rest.split('/').next().unwrap_or_default();
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    let local = ["http://localhost:", "http://127.0.0.1:"]
        .iter()
        .any(|start| text.strip_prefix(start).is_some_and(port));
    if local || text.starts_with("https://") {
        Ok(text)
    } else {
        Err(ConfigError(format!("`{key}` is {}: expected an `https://` URL", quoted(key, &text.into()))))
    }
}

fn hash(key: &str, value: &Value) -> Result<[u8; 32], ConfigError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let read = || {
        let text = value.as_str().filter(|text| text.len() == 64)?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let [high, low] = pair else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(hash)
    };
    read().ok_or_else(|| {
        ConfigError(format!(
            "`{key}` is no SHA-256 in hexadecimal: expected 64 digits, as `mark-stale-drafts token` prints"
        ))
    })
}

fn scopes(key: &str, value: &Value) -> Result<Vec<Scope>, ConfigError> {
    let words = texts(key, value)?;
    if words.is_empty() {
        return Err(missing(key, "a list of `read`, `sweep` and `report`"));
    }
    words
        .iter()
        .map(|word| {
            Scope::ALL.into_iter().find(|scope| scope.as_str() == word).ok_or_else(|| {
                let word = quoted(key, &word.as_str().into());
                ConfigError(format!("`{key}` has {word}: expected `\"read\"`, `\"sweep\"` or `\"report\"`"))
            })
        })
        .collect()
}

fn texts(key: &str, value: &Value) -> Result<Vec<String>, ConfigError> {
    let list = value
        .as_array()
        .ok_or_else(|| ConfigError(format!("`{key}` is {}: expected a list of texts", quoted(key, value))))?;
    list.iter().map(|value| text(key, value)).collect()
}

/// A table and its place in the configuration.
type Placed<'a> = (String, &'a Map<String, Value>);

/// The tables of a list, each with its place, such as `api_tokens[0]`.
fn tables<'a>(key: &str, value: &'a Value) -> Result<Vec<Placed<'a>>, ConfigError> {
    let list = value.as_array().ok_or_else(|| {
        ConfigError(format!("`{key}` is {}: expected a list of tables", quoted(key, value)))
    })?;
    list.iter()
        .enumerate()
        .map(|(at, value)| {
            let at = format!("{key}[{at}]");
            table(&at, value).map(|table| (at, table))
        })
        .collect()
}

fn missing(key: &str, what: &str) -> ConfigError {
    ConfigError(format!("`{key}` is missing: expected {what}"))
}
