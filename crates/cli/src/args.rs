use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use stale_drafts::rules::{Active, MaxAge};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing to do; for `doctor`: healthy
  1  the Worker answered with an error
  2  the input is not understood
  3  a dry run found stale creations
  4  the credential was refused, or there is none
  5  the Worker can't be reached
  6  partly done: some creations were left alone, or it was stopped
  7  `doctor` found something critical";

/// Marks generated images and videos that are stuck as failed, and refunds their tokens.
///
/// Without a command it sweeps: what is older than --max-age-hours is previewed, confirmed and marked. Data goes to stdout,
/// everything else to stderr.
#[derive(Debug, Parser)]
#[command(name = "mark-stale-drafts", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = false)]
pub struct Arguments {
    #[command(flatten)]
    pub connection: Connection,
    #[command(flatten)]
    pub sweep: Sweep,
    /// Print JSON instead of tables.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Where the Worker is, and who asks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The Worker's address [default: http://localhost:8787].
    #[arg(long, global = true, env = "MARK_STALE_DRAFTS_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The token. Other users of this machine can see it: better are --token-file, the environment
    /// (MARK_STALE_DRAFTS_TOKEN) and the configuration file.
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// A file that holds the token; `-` reads it from stdin.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// The configuration file, with `url` and `token` [default: mark-stale-drafts/config.toml in the user's
    /// configuration folder].
    #[arg(long, global = true, env = "MARK_STALE_DRAFTS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What is swept.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sweep")]
pub struct Sweep {
    /// Show what would be done, with a plan to apply, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// After how many hours without a sign of life a creation is stale.
    #[arg(long, value_name = "HOURS", default_value = "24", value_parser = hours)]
    pub max_age_hours: String,
    /// Use the limits of the Worker's own policy instead.
    #[arg(long, conflicts_with = "max_age_hours")]
    pub policy: bool,
    /// Only this user's.
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Only this kind, such as `image`.
    #[arg(long)]
    pub kind: Option<String>,
    /// Only this status.
    #[arg(long, value_parser = Active::ALL.map(Active::as_str))]
    pub status: Option<String>,
    /// Mark no more creations than this.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Carry out a plan: exactly the creations that a dry run showed, as far as they still qualify.
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["dry_run", "user", "kind", "status", "limit", "max_age_hours", "policy"])]
    pub apply: Option<String>,
    /// Don't ask.
    #[arg(long, short)]
    pub yes: bool,
}

/// What else there is to ask.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Count active creations by status, kind and age.
    Count {
        /// Ages that separate the bands, in minutes.
        #[arg(
            long,
            value_name = "MINUTES",
            help = "Ages that separate the bands, in minutes [default: 30,60,1440]"
        )]
        bands: Option<String>,
    },
    /// List a user's creations, the newest first.
    List {
        /// Whose.
        #[arg(long, value_name = "ID")]
        user: String,
        /// Only this status, as stored.
        #[arg(value_parser = ["pending", "processing", "draft", "published", "failed"])]
        status: Option<String>,
        /// Rows on a page.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// Where to go on: what the page before printed.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// All about one creation: verdict, rule, deadline, attempts, ledger, sweeps, events.
    Explain {
        /// The creation's id.
        id: String,
    },
    /// Restore a result that came after the refund: the creation becomes a draft, and is charged again.
    Restore {
        /// The creation's id.
        id: String,
    },
    /// List events that could not be delivered to the rest of the app.
    Events {
        /// Those that are still tried, instead of those that are given up.
        #[arg(long)]
        due: bool,
        /// Rows on a page.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// Where to go on: what the page before printed.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Try events again that were given up: those named, or all of them.
    Replay {
        /// The events' ids, as `events` lists them.
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<String>,
        /// All that were given up.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// What swept, when, by whom, and what came of it.
    Sweeps {
        /// Rows on a page.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        /// Where to go on: what the page before printed.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Name likely root causes, with their evidence.
    Doctor,
    /// Make a token for the Worker's configuration, which keeps its hash only.
    Token {
        /// What the audit calls it.
        #[arg(long)]
        name: String,
        /// What it allows.
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = ["read", "sweep", "report"])]
        scopes: Vec<String>,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page.
    Man,
}

/// The text, if it is a number of hours: the Worker reads it again, by the same rule.
fn hours(text: &str) -> Result<String, String> {
    text.parse::<MaxAge>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}
