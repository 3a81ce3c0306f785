//! What may happen in a run, as values.

use std::fmt;

use stale_drafts::rules::{Active, CircuitBreaker, Policy, PolicyError, Setting, Status};
use stale_drafts::service::sweep::Source;

use crate::attached::{THEIRS, Theirs};
use crate::sharded::{Moving, Way, binding};

/// One decision of a schedule. A schedule without any one of them is a schedule too: that is how it is made shorter.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// So many milliseconds pass.
    Advance(u64),
    /// From now on the clock of a host is off by so many milliseconds.
    Skew {
        /// The host.
        host: usize,
        /// How far it is ahead.
        millis: i64,
    },
    /// From now on this is the policy. Who has begun keeps the one that was.
    Policy(Settings),
    /// From now on this is the circuit breaker.
    Breaker(Option<CircuitBreaker>),
    /// From now on the rest of the app is told of failures and restores, and of retries, by these destinations.
    Notify {
        /// Of a failure or a restore.
        app: u32,
        /// Of a retry.
        retry: u32,
    },
    /// The app, or a hand at the console, writes directly.
    App(Write),
    /// Somebody begins.
    Spawn {
        /// Who: unique in a schedule.
        actor: usize,
        /// On which host, for the clock.
        host: usize,
        /// What they do.
        role: Role,
    },
    /// What happens to the next call of somebody.
    Fault {
        /// Whose.
        actor: usize,
        /// What.
        fault: Fault,
    },
    /// A host gets the newest configuration of the databases.
    Deploy {
        /// The host.
        host: usize,
    },
    /// From now on a database answers nothing, or it does again.
    Silence {
        /// Which.
        shard: usize,
        /// Whether it is silent.
        silent: bool,
    },
    /// Somebody goes on, up to where the next call waits to be let through.
    Step {
        /// Who.
        actor: usize,
    },
}

/// What goes wrong with one call of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The database refuses it for the moment: nothing is written, and an error is answered.
    Rejected,
    /// It is committed, and the answer is lost: an error is answered.
    AnswerLost,
    /// The caller dies before it.
    DiesBefore,
    /// It is committed, and the caller dies before it hears so.
    DiesAfter,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Rejected => "is rejected by the database",
            Fault::AnswerLost => "is committed, and its answer is lost",
            Fault::DiesBefore => "is never made: its caller dies",
            Fault::DiesAfter => "is committed, and its caller dies",
        })
    }
}

/// Settings of a policy: paths and values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(pub Vec<(&'static [&'static str], Value)>);

/// A value of a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number.
    Number(f64),
    /// `"never"`
    Never,
    /// Another word.
    Word(&'static str),
    /// `false`
    False,
}

impl Settings {
    /// The policy that they make.
    pub fn policy(&self) -> Result<Policy, PolicyError> {
        Policy::from_settings(self.0.iter().map(|(path, value)| {
            let setting = match value {
                Value::Number(number) => Setting::Number(*number, "a number"),
                Value::Never => Setting::Text("never"),
                Value::Word(word) => Setting::Text(word),
                Value::False => Setting::Other("false"),
            };
            (*path, setting)
        }))
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the default");
        }
        for ((path, value), at) in self.0.iter().zip(0..) {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{} = ", path.join("."))?;
            match value {
                Value::Number(number) => write!(f, "{number}")?,
                Value::Never => f.write_str("\"never\"")?,
                Value::Word(word) => write!(f, "\"{word}\"")?,
                Value::False => f.write_str("false")?,
            }
        }
        Ok(())
    }
}

/// A direct write: one transaction of plain SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A user gets tokens.
    Grant {
        /// The user.
        user: usize,
        /// How many.
        tokens: i64,
    },
    /// A row is brought in as it is.
    Import {
        /// The creation.
        creation: usize,
        /// Its owner.
        user: usize,
        /// Its kind.
        kind: &'static str,
        /// Its status.
        status: Status,
        /// What it costs.
        tokens: i64,
        /// `created_at`
        created: Stamp,
        /// `started_at`
        started: Stamp,
        /// `heartbeat_at`
        heartbeat: Stamp,
    },
    /// The app's own worker starts it, with the guard of the README.
    Start(usize),
    /// The same for a heartbeat.
    Heartbeat(usize),
    /// The same for a result.
    Complete(usize),
    /// The app fails it, if it is active.
    Fail(usize),
    /// A write that forgot the guard: it may go through only where the status machine allows it.
    CompleteUnguarded(usize),
    /// Something that is no time gets into a heartbeat.
    Garble(usize, Stamp),
    /// Somebody refunds by hand: never allowed but for what failed, and then it is there already.
    RefundByHand(usize),
    /// Somebody takes an entry out of the ledger: never allowed.
    Forget(usize),
    /// Somebody changes a price: never allowed.
    Reprice(usize),
    /// The app corrects a kind.
    Rekind(usize, &'static str),
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Write::Grant { user, tokens } => write!(f, "the app grants u{user} {tokens} tokens"),
            Write::Import { creation, user, kind, status, tokens, created, started, heartbeat } => write!(
                f,
                "the app brings in c{creation} of u{user}: {kind}, {status}, {tokens} tokens, created {created}, \
                 started {started}, heartbeat {heartbeat}"
            ),
            Write::Start(at) => write!(f, "the app starts c{at}"),
            Write::Heartbeat(at) => write!(f, "the app writes a heartbeat of c{at}"),
            Write::Complete(at) => write!(f, "the app completes c{at}"),
            Write::Fail(at) => write!(f, "the app fails c{at}"),
            Write::CompleteUnguarded(at) => write!(f, "the app completes c{at} without a guard"),
            Write::Garble(at, stamp) => write!(f, "the app writes a heartbeat of c{at}: {stamp}"),
            Write::RefundByHand(at) => write!(f, "a hand refunds c{at}"),
            Write::Forget(at) => write!(f, "a hand removes the charge of c{at}"),
            Write::Reprice(at) => write!(f, "a hand changes the price of c{at}"),
            Write::Rekind(at, kind) => write!(f, "the app makes c{at} a {kind}"),
        }
    }
}

/// What stands in a time of a row that is written directly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stamp {
    /// `NULL`
    Null,
    /// So many milliseconds ago.
    Ago(u64),
    /// In so many milliseconds.
    Ahead(u64),
    /// Text.
    Text,
    /// A fraction.
    Fraction,
    /// A negative number.
    Negative,
    /// A number beyond the last instant there is.
    Huge,
    /// So many milliseconds ago, in seconds: what an ORM's default writes.
    Seconds(u64),
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stamp::Null => f.write_str("never"),
            Stamp::Ago(millis) => write!(f, "{millis} ms ago"),
            Stamp::Ahead(millis) => write!(f, "in {millis} ms"),
            Stamp::Text => f.write_str("'soon'"),
            Stamp::Fraction => f.write_str("1.5"),
            Stamp::Negative => f.write_str("-5"),
            Stamp::Huge => f.write_str("9e15"),
            Stamp::Seconds(millis) => write!(f, "{millis} ms ago, in seconds"),
        }
    }
}

/// What an actor does, call by call.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// One sweep.
    Sweep(Sweep),
    /// An operator previews a sweep, and later carries the plan out, once or twice.
    Plan {
        /// The preview; also the bounds of carrying it out.
        sweep: Sweep,
        /// Whether the plan is carried out twice.
        twice: bool,
        /// Whether it was edited, and lists everything twice.
        doubled: bool,
    },
    /// Somebody asks for a creation, again while the outcome is unknown.
    Create {
        /// The creation.
        creation: usize,
        /// Its owner.
        user: usize,
        /// Its kind.
        kind: &'static str,
        /// What it costs.
        tokens: u64,
        /// How often it is tried.
        tries: u32,
    },
    /// A worker takes a creation through.
    Worker {
        /// The creation.
        creation: usize,
        /// Its name for itself: the same one may repeat itself.
        name: usize,
        /// How many heartbeats it sends.
        beats: u32,
        /// How it ends.
        end: End,
        /// What it says that it has used.
        uses: Uses,
        /// How often each report is tried while its outcome is unknown.
        tries: u32,
        /// Whether it makes its last report twice.
        twice: bool,
    },
    /// Somebody gives up what no worker has begun.
    GiveUp {
        /// The creation.
        creation: usize,
    },
    /// An owner publishes or deletes.
    Owner {
        /// The creation.
        creation: usize,
        /// Who: not always its owner.
        user: usize,
        /// Publishes, or deletes.
        publishes: bool,
        /// How often it is tried.
        tries: u32,
    },
    /// Somebody has a failed creation tried again, for another charge, by what they saw of it as they began.
    Retry {
        /// The creation.
        creation: usize,
        /// Its owner, or whoever thinks so; an operator if it is `None`.
        user: Option<usize>,
        /// So many attempts before the present one.
        back: u32,
        /// How often it is tried while its outcome is unknown.
        tries: u32,
        /// Whether it is sent twice.
        twice: bool,
    },
    /// Somebody does not want it any more.
    Cancel {
        /// The creation.
        creation: usize,
        /// Its owner, or whoever thinks so; the app if it is `None`.
        user: Option<usize>,
        /// Whether they name the attempt that they saw.
        named: bool,
        /// How often it is tried while its outcome is unknown.
        tries: u32,
    },
    /// An operator fails what is active, by what they saw of it as they began.
    FailNow {
        /// The creation.
        creation: usize,
        /// So many attempts before the present one.
        back: u32,
        /// How often it is tried while its outcome is unknown.
        tries: u32,
    },
    /// An operator has many failed creations tried again, as they were previewed.
    InBulk(InBulk),
    /// An operator gives one creation more time.
    Extend {
        /// The creation.
        creation: usize,
        /// How much.
        millis: u64,
        /// How often it is tried while its outcome is unknown.
        tries: u32,
    },
    /// An operator gives a kind more time; `None` ends what it has.
    ExtendKind {
        /// The kind.
        kind: &'static str,
        /// How much.
        millis: Option<u64>,
    },
    /// The provider is asked, and then a sweep is made.
    Ask {
        /// The sweep.
        sweep: Sweep,
        /// What it answers.
        says: Says,
        /// About at most so many.
        most: u32,
    },
    /// An operator restores.
    Restore {
        /// The creation.
        creation: usize,
        /// How often it is tried.
        tries: u32,
    },
    /// The outbox: takes what is due, delivers it or fails to, and notes what came of it. Between sending and hearing it waits for a
    /// turn: that may take hours.
    Courier(Receiver),
    /// An operator has dead events tried again.
    Replay,
    /// The app's own code writes its own table, one transaction after the other.
    Theirs {
        /// The transactions.
        writes: Vec<Theirs>,
        /// How often each is tried while its outcome is unknown.
        tries: u32,
    },
    /// An operator moves buckets to another database.
    Move {
        /// Which, and where.
        moving: Moving,
        /// There, or back.
        way: Way,
        /// Whether a request does very little.
        small: bool,
    },
    /// The app's code reads a row, and later writes all of it.
    Save {
        /// The row.
        gid: i64,
        /// The status that it writes, if another one than it read.
        state: Option<&'static str>,
    },
}

/// See [`Role::InBulk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InBulk {
    /// The kind that is looked for; all if it is `None`.
    pub kind: Option<&'static str>,
    /// Whether the plan is carried out twice.
    pub twice: bool,
    /// Whether it lists everything twice.
    pub doubled: bool,
}

/// The id of a user.
pub fn user_id(user: usize) -> String {
    user.checked_sub(THEIRS).map_or_else(|| format!("u{user}"), |user| user.to_string())
}

/// How a trace names a creation.
fn creation_name(creation: usize) -> String {
    creation
        .checked_sub(THEIRS)
        .map_or_else(|| format!("c{creation}"), |gid| format!("the creation of row {gid}"))
}

/// What the other side does with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// It takes it.
    Takes,
    /// It does not.
    Refuses,
    /// It takes it, and says that it has not.
    Lies,
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Receiver::Takes => "takes them",
            Receiver::Refuses => "refuses them",
            Receiver::Lies => "takes them and says that it has not",
        })
    }
}

/// How a worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a result.
    Completes,
    /// With an error.
    Fails,
    /// It never says anything again.
    Vanishes,
}

/// What a worker says that it has used of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uses {
    /// It says nothing.
    Unsaid,
    /// Nothing.
    Nothing,
    /// Half of it.
    Half,
    /// All of it.
    All,
    /// More than that, which is refused.
    More,
}

impl Uses {
    /// The number of tokens.
    pub fn of(self, tokens: u64) -> Option<u64> {
        match self {
            Uses::Unsaid => None,
            Uses::Nothing => Some(0),
            Uses::Half => Some(tokens.checked_div(2).unwrap_or(0)),
            Uses::All => Some(tokens),
            Uses::More => Some(tokens.saturating_add(1)),
        }
    }
}

/// What a provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Everything is done.
    Done,
    /// Everything is running.
    Running,
    /// By turns: done, running, unknown.
    Mixed,
    /// Something about other attempts.
    Other,
    /// Nothing that can be read.
    Garbage,
    /// Nothing.
    Silent,
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Says::Done => "says that everything is done",
            Says::Running => "says that everything is running",
            Says::Mixed => "says by turns that it is done, running and unknown",
            Says::Other => "speaks of other attempts",
            Says::Garbage => "says nothing that can be read",
            Says::Silent => "says nothing",
        })
    }
}

/// What a sweep is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// What asks.
    pub source: Source,
    /// Only this user's creations.
    pub user: Option<usize>,
    /// Only this kind.
    pub kind: Option<&'static str>,
    /// Only this status.
    pub status: Option<Active>,
    /// A limit in place of the policy's, in hours.
    pub hours: Option<f64>,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// At most so many creations.
    pub limit: u32,
}

impl fmt::Display for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sweep { source, user, kind, status, hours, dry_run, limit } = self;
        f.write_str(match source {
            Source::Cron => "cron",
            Source::Page => "a page load",
            Source::Endpoint => "the endpoint",
            Source::Tool => "the tool",
        })?;
        f.write_str(if *dry_run { " previews a sweep" } else { " sweeps" })?;
        if let Some(user) = user {
            write!(f, " of {}", user_id(*user))?;
        }
        if let Some(kind) = kind {
            write!(f, " of kind {kind}")?;
        }
        if let Some(status) = status {
            write!(f, " of status {status}")?;
        }
        if let Some(hours) = hours {
            write!(f, " by a limit of {hours} hours")?;
        }
        write!(f, ", {limit} at most")
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let twice_text = |twice: &bool| if *twice { ", twice" } else { "" };
        match self {
            Role::Sweep(sweep) => sweep.fmt(f),
            Role::Plan { sweep, twice, doubled } => {
                let doubled = if *doubled { ", with every line doubled" } else { "" };
                let twice = twice_text(twice);
                write!(f, "{sweep}, and carries the plan out later{doubled}{twice}")
            }
            Role::Create { creation, user, kind, tokens, tries } => {
                write!(f, "u{user} asks for c{creation}: {kind}, {tokens} tokens, up to {tries} tries")
            }
            Role::Worker { creation, name, beats, end, uses, tries, twice } => {
                let end = match end {
                    End::Completes => "completes it",
                    End::Fails => "fails it",
                    End::Vanishes => "vanishes",
                };
                write!(
                    f,
                    "worker w{name} takes c{creation}, sends {beats} heartbeats and {end}{}{}, up to {tries} tries each",
                    match uses {
                        Uses::Unsaid => "",
                        Uses::Nothing => ", with nothing used",
                        Uses::Half => ", with half of its tokens used",
                        Uses::All => ", with all of its tokens used",
                        Uses::More => ", with more used than was charged",
                    },
                    twice_text(twice)
                )
            }
            Role::GiveUp { creation } => write!(f, "somebody gives up c{creation} before a worker begins"),
            Role::Owner { creation, user, publishes, tries } => {
                let verb = if *publishes { "publishes" } else { "deletes" };
                write!(f, "{} {verb} {}, up to {tries} tries", user_id(*user), creation_name(*creation))
            }
            Role::Restore { creation, tries } => {
                write!(f, "an operator restores {}, up to {tries} tries", creation_name(*creation))
            }
            Role::Retry { creation, user, back, tries, twice } => {
                let who = user.map_or_else(|| String::from("an operator"), user_id);
                let which = if *back > 0 { format!(", {back} attempts before") } else { String::new() };
                let creation = creation_name(*creation);
                write!(f, "{who} has {creation} tried again{which}{}, up to {tries} tries", twice_text(twice))
            }
            Role::Cancel { creation, user, named, tries } => {
                let who = user.map_or_else(|| String::from("the app"), user_id);
                let which = if *named { ", the attempt that was seen" } else { "" };
                write!(f, "{who} cancels {}{which}, up to {tries} tries", creation_name(*creation))
            }
            Role::FailNow { creation, back, tries } => {
                let which = if *back > 0 { format!(", {back} attempts before") } else { String::new() };
                write!(f, "an operator fails {}{which}, up to {tries} tries", creation_name(*creation))
            }
            Role::InBulk(InBulk { kind, twice, doubled }) => {
                let what = kind.unwrap_or("everything");
                let double = if *doubled { ", listed twice" } else { "" };
                write!(f, "an operator has {what} that has failed tried again{double}{}", twice_text(twice))
            }
            Role::Extend { creation, millis, tries } => {
                let creation = creation_name(*creation);
                write!(f, "an operator gives {creation} {millis} ms more time, up to {tries} tries")
            }
            Role::ExtendKind { kind, millis: Some(millis) } => {
                write!(f, "an operator gives {kind} {millis} ms more time")
            }
            Role::ExtendKind { kind, millis: None } => write!(f, "an operator ends more time for {kind}"),
            Role::Ask { sweep, says, most } => {
                write!(f, "{sweep}, after a question about {most} at most to a provider who {says}")
            }
            Role::Courier(receiver) => write!(f, "the outbox delivers to a receiver that {receiver}"),
            Role::Replay => f.write_str("an operator has dead events tried again"),
            Role::Theirs { writes, tries } => {
                let list: Vec<_> = writes.iter().map(ToString::to_string).collect();
                write!(f, "{}; up to {tries} tries each", list.join("; then "))
            }
            Role::Move { moving, way, small } => {
                let what = match way {
                    Way::There => "moves, waits for the configuration, and finishes",
                    Way::ThereAtOnce => "moves, and finishes at once",
                    Way::Back => "cancels",
                    Way::Unmoved => "gives the buckets away by the configuration alone, and puts that right",
                };
                write!(f, "an operator {what}: {moving}{}", if *small { ", by small steps" } else { "" })
            }
            Role::Save { gid, state } => {
                write!(f, "the app reads row {gid}, and saves it whole, {}", state.unwrap_or("as it is"))
            }
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Advance(millis) => write!(f, "{millis} ms pass"),
            Op::Skew { host, millis } => write!(f, "the clock of host {host} is {millis} ms ahead"),
            Op::Policy(settings) => write!(f, "the policy is {settings}"),
            Op::Breaker(None) => f.write_str("there is no circuit breaker"),
            Op::Breaker(Some(CircuitBreaker { creations, percent, at_least })) => {
                write!(f, "the circuit breaker opens above {creations}, or at {percent} % from {at_least} on")
            }
            Op::Notify { app, retry } => write!(f, "events go to destinations {app}, retries to {retry}"),
            Op::App(write) => write.fmt(f),
            Op::Spawn { actor, host, role } => write!(f, "a{actor} begins on host {host}: {role}"),
            Op::Fault { actor, fault } => write!(f, "the next call of a{actor} {fault}"),
            Op::Deploy { host } => write!(f, "host {host} gets the newest configuration"),
            Op::Silence { shard, silent } => {
                write!(f, "{} answers {}", binding(*shard), if *silent { "nothing" } else { "again" })
            }
            Op::Step { actor } => write!(f, "a{actor} goes on"),
        }
    }
}
