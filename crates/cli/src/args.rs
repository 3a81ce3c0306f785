use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use stale_drafts::rules::{Active, MaxAge};

use crate::commands::import::arguments::Import;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or nothing to do; for `doctor`: healthy
  1  the Worker answered with an error, or the output could not be written
  2  invalid input
  3  a dry run found stale creations, or failed ones to retry
  4  the credential is missing, or was refused
  5  the Worker can't be reached
  6  partly done: some creations were skipped, rejected or unreadable, or the run was stopped
  7  `doctor` found something critical, or what a database has is missing
  8  `import verify` found a difference
  130  Ctrl-C stopped a move of buckets: the Worker ends the step that it is at";

/// Marks stuck images and videos as failed, and refunds their tokens.
///
/// Without a command it sweeps: it previews what is older than --max-age-hours, asks, and marks it failed. Data goes to
/// stdout, everything else to stderr.
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

/// Where the Worker is, and with which credential to call it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The Worker's address [default: http://localhost:8787].
    #[arg(long, global = true, env = "MARK_STALE_DRAFTS_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The token. Other users of this machine can see it: prefer --token-file, the environment variable
    /// MARK_STALE_DRAFTS_TOKEN or the configuration file.
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

/// What to sweep.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sweep")]
pub struct Sweep {
    /// Show what a sweep would do, print a plan to apply, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// After how many hours without a sign of life a creation is stale.
    #[arg(long, value_name = "HOURS", default_value = "24", value_parser = hours)]
    pub max_age_hours: String,
    /// Use the limits of the Worker's own policy instead.
    #[arg(long, conflicts_with = "max_age_hours")]
    pub policy: bool,
    /// Only this user's creations.
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Only this kind, such as `image`.
    #[arg(long)]
    pub kind: Option<String>,
    /// Only this status.
    #[arg(long, value_parser = Active::ALL.map(Active::as_str))]
    pub status: Option<String>,
    /// Stop after this many creations.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Apply a plan: exactly the creations that a dry run showed, if they still qualify.
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["dry_run", "user", "kind", "status", "limit", "max_age_hours", "policy"])]
    pub apply: Option<String>,
    /// Don't ask for confirmation.
    #[arg(long, short)]
    pub yes: bool,
}

/// Whose creation is meant.
#[derive(Debug, Args)]
pub struct Whose {
    /// Its owner, where several users have one with this id.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
}

/// Which part of a list to show.
#[derive(Debug, Args)]
pub struct Page {
    /// Rows on a page.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,
    /// Where to continue: the cursor that the previous page printed.
    #[arg(long)]
    pub cursor: Option<String>,
}

/// The other commands.
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
    /// List a user's creations, newest first.
    List {
        /// The user.
        #[arg(long, value_name = "ID")]
        user: String,
        /// Only this stored status.
        #[arg(value_parser = ["pending", "processing", "draft", "published", "failed"])]
        status: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show where a user's tokens went: each charge and refund, and why. Or sum up old entries.
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Ledger {
        /// The user.
        #[arg(long, value_name = "ID", required = true)]
        user: Option<String>,
        #[command(flatten)]
        page: Page,
        #[command(subcommand)]
        command: Option<Ledger>,
    },
    /// Show everything about one creation: verdict, rule, deadline, attempts, ledger, sweeps, events.
    Explain {
        /// The creation's id.
        id: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Give a creation more time, or all of a kind, until an end.
    Extend(Extend),
    /// List what kinds have more time, or end it.
    Extensions {
        #[command(subcommand)]
        command: Option<Extensions>,
    },
    /// Restore a result that arrived after the refund: the creation becomes a draft and is charged again.
    Restore {
        /// The creation's id.
        id: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Try failed creations again: each waits for a worker once more, and its owner is charged again.
    ///
    /// Without ids it finds them by what they are, shows what that would charge, asks, and retries exactly those.
    Retry(Retry),
    /// Cancel creations that are not finished: what their policy says goes back to their owners.
    Cancel {
        /// The creations' ids.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Fail creations that are not finished, in words for their owners, and refund them whole, whatever their policy says.
    Fail {
        /// The creations' ids.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
        /// What their owners read.
        #[arg(long, value_name = "TEXT")]
        error: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// List creations of all users by what they are, newest first.
    Search {
        #[command(flatten)]
        search: Search,
        #[command(flatten)]
        page: Page,
    },
    /// Note something about a creation, or about a sweep: operators see it there.
    Note {
        /// The creation's id, or the sweep's.
        id: String,
        /// What is to be known.
        text: String,
        /// It is about a sweep.
        #[arg(long, conflicts_with = "user")]
        sweep: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// List dead letters: events that could not be delivered to the rest of the app.
    Events {
        /// List the events that are still being tried instead.
        #[arg(long)]
        due: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Deliver dead letters again: the named ones, or all of them.
    Replay {
        /// The events' ids, as `events` lists them.
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<String>,
        /// All dead letters.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// List sweeps: when each ran, who started it, and what it did.
    Sweeps {
        #[command(flatten)]
        page: Page,
    },
    /// Show how full each database is, or move buckets of users between them.
    Shards {
        #[command(subcommand)]
        command: Option<Shards>,
    },
    /// Name likely root causes, with their evidence.
    Doctor,
    /// Bring in users and creations of another system.
    #[command(subcommand)]
    Import(Import),
    /// Make a token. The Worker's configuration keeps only its hash.
    Token {
        /// The token's name in the audit.
        #[arg(long)]
        name: String,
        /// What the token allows.
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = ["read", "sweep", "report", "grant"])]
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

/// Which creations: whatever is given holds for each.
#[derive(Debug, Args)]
#[group(id = "filter", multiple = true)]
pub struct Filter {
    /// Only this user's creations.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// Only this kind, such as `image`.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub kind: Option<String>,
    /// Only what failed with this code, such as `generation_timeout`.
    #[arg(long, value_name = "CODE", value_parser = NonEmptyStringValueParser::new())]
    pub error_code: Option<String>,
    /// Only what a sweep failed by this entry of the policy, as `explain` names it, such as `max_age_hours`, `preset` or `kinds.video`.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub rule: Option<String>,
    /// Only what was made then or later: the last `03:00` on this machine's clock, `03:00Z` in UTC, or an instant with its zone.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what was made before then: after a `--since`, the first `03:00`.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only what failed then or later, and was not retried since.
    #[arg(long, value_name = "TIME")]
    pub failed_since: Option<String>,
    /// Only what failed before then: after a `--failed-since`, the first `03:00`.
    #[arg(long, value_name = "TIME")]
    pub failed_until: Option<String>,
}

/// What to retry.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("which").args(["ids", "user", "kind", "error_code", "rule", "since", "until", "failed_since", "failed_until", "all", "apply"]).required(true).multiple(true))]
pub struct Retry {
    /// The creations' ids; `--user` says whose, where several users have one with this id.
    #[arg(value_name = "ID", conflicts_with_all = ["kind", "error_code", "rule", "since", "until", "failed_since", "failed_until", "all", "apply", "dry_run", "yes", "limit", "reason"])]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub filter: Filter,
    /// Everything that has failed.
    #[arg(long, conflicts_with_all = ["filter", "apply"])]
    pub all: bool,
    /// Show what would be retried and charged, print a plan to apply, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// No more creations than this [default: 1000].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub limit: Option<u32>,
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Apply a plan: exactly the creations that a dry run showed, as far as they are still as they were.
    #[arg(long, value_name = "PLAN", conflicts_with_all = ["filter", "dry_run", "limit"])]
    pub apply: Option<String>,
    /// Don't ask for confirmation.
    #[arg(long, short)]
    pub yes: bool,
}

/// What to look for.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Search {
    /// Only this stored status.
    #[arg(value_parser = ["pending", "processing", "draft", "published", "failed"])]
    pub status: Option<String>,
    /// Active ones, the longest without a sign of life first.
    #[arg(long, conflicts_with_all = ["user", "error_code", "rule", "since", "until", "failed_since", "failed_until"])]
    pub silent: bool,
    #[command(flatten)]
    pub filter: Filter,
}

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Make one entry of a user's months before this one, of creations that are archived. Each balance stays the sum. It can't be undone.
    Compact(Compact),
}

/// Which entries become sums.
#[derive(Debug, Args)]
pub struct Compact {
    /// Entries of months before this one, such as `2026-01`. It must have begun at least 31 days ago.
    #[arg(long, value_name = "MONTH")]
    pub before: String,
    /// Only say how many there are, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Don't ask for confirmation.
    #[arg(long, short)]
    pub yes: bool,
}

/// Whom to give more time, until when, and why.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("whom").args(["id", "kind"]).required(true), group = clap::ArgGroup::new("end").args(["minutes", "until"]).required(true))]
pub struct Extend {
    /// The creation's id.
    pub id: Option<String>,
    /// Its owner, where several users have one with this id.
    #[arg(long, value_name = "ID", conflicts_with = "kind", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// All of this kind: what is active, and what is made until the end.
    #[arg(long)]
    pub kind: Option<String>,
    /// So many minutes from now, up to 30 days.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=43_200))]
    pub minutes: Option<u32>,
    /// Until then: the next `04:00` on this machine's clock, `04:00Z` in UTC, or an instant with its zone.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// What to do with the time that kinds have.
#[derive(Debug, Subcommand)]
pub enum Extensions {
    /// Take back what a kind has: the policy's limits hold again.
    End {
        /// The kind.
        #[arg(long)]
        kind: String,
    },
}

/// What to do with the databases.
#[derive(Debug, Subcommand)]
pub enum Shards {
    /// Move buckets of users to another database. Their writes wait from now on; then change the configuration, deploy it, and finish.
    Move(Buckets),
    /// Let the buckets go on where they are now, and remove them from where they were: after the new configuration is deployed.
    Finish(Buckets),
    /// Undo a move that has not come to its end: the buckets go on where they were.
    Cancel(Buckets),
}

/// Which buckets, and between which databases.
#[derive(Debug, Args)]
pub struct Buckets {
    /// The binding of the database that they leave.
    #[arg(long, value_name = "SHARD")]
    pub from: String,
    /// The binding of the one that takes them.
    #[arg(long, value_name = "SHARD")]
    pub to: String,
    /// A range of buckets, such as `2048-4095`.
    #[arg(long, value_name = "RANGE")]
    pub buckets: String,
}

/// Checks that the text is a number of hours. The Worker reads it again, by the same rule.
fn hours(text: &str) -> Result<String, String> {
    text.parse::<MaxAge>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}
