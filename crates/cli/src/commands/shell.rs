use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Arguments;
use crate::exit::{Code, Failure};

/// Prints completions for a shell.
#[expect(clippy::unnecessary_wraps, reason = "every command answers alike")]
pub fn completions(shell: Shell) -> Result<Code, Failure> {
    clap_complete::generate(shell, &mut Arguments::command(), "mark-stale-drafts", &mut std::io::stdout());
    Ok(Code::Done)
}

/// Prints the manual page.
pub fn man() -> Result<Code, Failure> {
    clap_mangen::Man::new(Arguments::command())
        .render(&mut std::io::stdout())
        .map_err(|error| Failure::new(Code::Failed, format!("the manual page can't be written: {error}")))?;
    Ok(Code::Done)
}
