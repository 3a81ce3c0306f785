//! `completions` and `man`: both are generated from the arguments.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Arguments;
use crate::exit::{Code, Error};
use crate::output;

/// Prints completions for a shell.
pub fn completions(shell: Shell) -> Code {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "mark-stale-drafts", &mut script);
    output::print(String::from_utf8_lossy(&script));
    Code::Done
}

/// Prints the manual page.
pub fn man() -> Result<Code, Error> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Arguments::command())
        .render(&mut page)
        .map_err(|error| Error::new(Code::Failed, format!("can't generate the manual page: {error}")))?;
    output::print(String::from_utf8_lossy(&page));
    Ok(Code::Done)
}
