use sha2::{Digest as _, Sha256};

use crate::exit::{Code, Error};
use crate::output::{self, note};

/// `token`: makes a random token and prints it once, on stdout. The Worker's configuration keeps its hash.
pub fn make(name: &str, scopes: &[String]) -> Result<Code, Error> {
    if name.is_empty()
        || name.chars().any(|character| character.is_control() || matches!(character, '"' | '\\'))
    {
        let message = format!(
            "invalid name `{}`: expected text without quotes and backslashes",
            output::one_line(name)
        );
        return Err(Error::new(Code::InvalidInput, message));
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(Code::Failed, format!("can't get random numbers: {error}")))?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let token = format!("sd_{}", hex(&random));
    let scopes: Vec<_> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
    output::say(&token);
    note(format!(
        "\nStore it where only its user can read it: it can't be shown again. Add this to wrangler.toml and deploy:\n\n\
         [[vars.STALE_DRAFTS.api_tokens]]\nname = \"{name}\"\nsha256 = \"{}\"\nscopes = [{}]\n\n\
         To replace a token, add the new one, deploy, switch to it, and then remove the old one.",
        hex(&Sha256::digest(&token)),
        scopes.join(", ")
    ));
    Ok(Code::Done)
}
