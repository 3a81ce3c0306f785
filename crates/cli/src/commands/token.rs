use sha2::{Digest as _, Sha256};

use crate::exit::{Code, Failure};
use crate::output;

/// Makes a random token. It is printed once, on stdout; the configuration keeps its hash.
pub fn make(name: &str, scopes: &[String]) -> Result<Code, Failure> {
    if name.is_empty()
        || name.chars().any(|character| character.is_control() || matches!(character, '"' | '\\'))
    {
        let message =
            format!("the name is `{}`: expected text without quotes and backslashes", output::one_line(name));
        return Err(Failure::new(Code::BadInput, message));
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(Code::Failed, format!("no random numbers: {error}")))?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let token = format!("sd_{}", hex(&random));
    let scopes: Vec<_> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
    output::say(&token);
    anstream::eprintln!(
        "\nKeep it where only its user can read it; it can't be shown again. Add this to wrangler.toml and deploy:\n\n\
         [[vars.STALE_DRAFTS.api_tokens]]\nname = \"{name}\"\nsha256 = \"{}\"\nscopes = [{}]\n\n\
         To replace a token, add the new one, deploy, change over, and then remove the old one.",
        hex(&Sha256::digest(&token)),
        scopes.join(", ")
    );
    Ok(Code::Done)
}
