//! Which database has which buckets: by the configuration, and by what the databases themselves have on record.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::bucket::Bucket;
use super::bucket_set::BucketSet;
use super::diagnosis::{Finding, Severity};
use super::evidence::Evidence;
use super::open_move::OpenMove;

/// A database, and the buckets that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its name.
    pub shard: String,
    /// What the configuration gives it.
    pub configured: BucketSet,
    /// What it has on record: also what is on the way out, until that has moved. `None`: nobody has written it down yet, or it was lost.
    pub recorded: Option<BucketSet>,
    /// The buckets of users who are there, where they were looked at: of some users, and where something is on record by a diagnosis only.
    pub users: BucketSet,
}

impl Placed {
    fn holds(&self, bucket: Bucket) -> bool {
        self.recorded.is_some_and(|recorded| recorded.has(bucket))
    }

    /// Users whom the configuration gives to another one.
    fn strangers(&self) -> BucketSet {
        self.users.without(&self.configured)
    }
}

/// What goes on record of databases that have nothing there yet: for each its name, and its buckets. All of the databases are listed, and
/// all moves that are not over.
///
/// What is on record stays: only moves change it. Of the others each has what the configuration gives it, but for what others have on
/// record and for what moves: that comes by the move. But one that has others' users too has been the only one, and all are its own: the
/// configuration took some away without a move. Where it can't be known whose users they are nothing goes on record: others have some too,
/// another one has them on record, or it is in the place of one that had them: see `lost`.
pub fn first_records<'a>(placed: &'a [Placed], moves: &[OpenMove]) -> Vec<(&'a str, BucketSet)> {
    let taken = taken(placed, moves);
    let new = || placed.iter().filter(|place| place.recorded.is_none());
    if new().any(|place| !place.users.within(&taken).is_empty()) || lost(placed, moves).is_some() {
        return Vec::new();
    }
    let mut strange = new().filter(|place| !place.strangers().is_empty());
    match (strange.next(), new().filter(|place| !place.users.is_empty()).count()) {
        (None, _) => new().map(|place| (place.shard.as_str(), place.configured.without(&taken))).collect(),
        (Some(only), 1) => {
            let all = BucketSet::ALL.without(&taken);
            let has = |place: &Placed| if place.shard == only.shard { all } else { BucketSet::default() };
            // It comes first: until it is on record the others would seem to be free.
            let mut records: Vec<_> = new().map(|place| (place.shard.as_str(), has(place))).collect();
            records.sort_by_key(|(shard, _)| *shard != only.shard);
            records
        }
        _ => Vec::new(),
    }
}

/// One that has nothing on record in the place of one that had, and what it would have: it is a side of a move; or others have a record, and
/// they gave it what none of them has. With the first record each bucket is somebody's, so that one has gone with its users: an empty database
/// is bound instead. A database that has users, and only of these buckets, is the right one.
fn lost<'a>(placed: &'a [Placed], moves: &[OpenMove]) -> Option<(&'a Placed, BucketSet)> {
    let taken = taken(placed, &[]);
    let others_have = placed.iter().any(|place| place.recorded.is_some());
    placed.iter().filter(|place| place.recorded.is_none()).find_map(|place| {
        let is_a_side = moves.iter().any(|row| row.shard == place.shard || row.other == place.shard);
        let buckets = place.configured.without(&taken);
        let gone = others_have
            && place.users.is_empty()
            && !buckets.without(&moves.iter().filter_map(about).collect()).is_empty();
        (is_a_side || gone).then_some((place, buckets))
    })
}

/// What any database has on record, and what moves: none that has nothing on record can have it.
fn taken(placed: &[Placed], moves: &[OpenMove]) -> BucketSet {
    let recorded = placed.iter().filter_map(|place| place.recorded.as_ref());
    recorded.fold(moves.iter().filter_map(about).collect(), |taken: BucketSet, recorded| taken.and(recorded))
}

/// The buckets that a move is about.
fn about(row: &OpenMove) -> Option<RangeInclusive<Bucket>> {
    let bucket = |number: u32| u16::try_from(number).ok().and_then(Bucket::new);
    Some(bucket(row.first_bucket)?..=bucket(row.last_bucket)?)
}

/// The buckets that have left one database and are not yet taken by the other: until step 6 of a move either may have them by the
/// configuration, and no third one. A target that is open has them on record, and one that knows of no move has lost them: neither is listed.
/// Nor has the source left them before it says so; one that does not answer may have.
fn between(evidence: &Evidence, shard: &str) -> BucketSet {
    let moves = &evidence.moves;
    let is_silent = |name: &str| silent(evidence).contains(&name);
    let left = |row: &&OpenMove| {
        let source = moves.iter().find(|other| other.id == row.id && other.is_source);
        let is_of = row.shard == shard || row.other == shard;
        is_of
            && !row.is_source
            && source.map_or_else(|| is_silent(&row.other), |source| source.state == "moved")
    };
    moves.iter().filter(left).filter_map(about).collect()
}

/// Buckets that the configuration gives to one database while another one has them.
pub(super) fn misplaced(evidence: &Evidence) -> Option<Finding> {
    if let Some(finding) = bound_otherwise(evidence) {
        return Some(finding);
    }
    let placed = evidence.placed.as_slice();
    let answers_all = evidence.unreachable.is_empty();
    let (mut all, mut first) = (BucketSet::default(), None);
    for place in placed {
        let Some(recorded) = &place.recorded else { continue };
        let between = between(evidence, &place.shard);
        let lacks = place.configured.without(recorded).without(&between);
        let held = placed.iter().filter_map(|other| other.recorded.as_ref());
        let held = held.fold(BucketSet::default(), |held, other| held.and(other));
        // What nobody has that answers may be where no answer comes from.
        let lacks = if answers_all { lacks } else { lacks.within(&held) };
        let extra = recorded.without(&place.configured).without(&between);
        first =
            first.or_else(|| lacks.ranges().into_iter().next()).or_else(|| extra.ranges().into_iter().next());
        all = all.and(&lacks).and(&extra);
    }
    let Some(range) = first else {
        return strangers(placed, &evidence.moves)
            .or_else(|| replaced(evidence).filter(|_| silent(evidence).is_empty()))
            .or_else(|| left_behind(evidence));
    };
    let bucket = *range.start();
    let given = placed.iter().find(|place| place.configured.has(bucket));
    let holders: Vec<_> = placed.iter().filter(|place| place.holds(bucket)).collect();
    // As many as are in the same way.
    let alike = |other: &Bucket| {
        all.has(*other)
            && given.is_none_or(|given| given.configured.has(*other))
            && placed
                .iter()
                .all(|place| place.holds(*other) == holders.iter().any(|holder| holder.shard == place.shard))
    };
    let numbers = range.start().number()..=range.end().number();
    let last = numbers.filter_map(Bucket::new).take_while(alike).last().unwrap_or(bucket);
    let buckets = BucketSet::default().with(bucket..=last);
    let others = match all.without(&buckets).len() {
        0 => String::new(),
        1 => String::from("; 1 other bucket is misplaced too"),
        others => format!("; {others} other buckets are misplaced too"),
    };
    let given_to = given.map_or_else(|| silent(evidence), |given| vec![given.shard.as_str()]);
    let names = |shards: &[&str], between| {
        shards.iter().map(|shard| format!("`{shard}`")).collect::<Vec<_>>().join(between)
    };
    let to = match given_to.as_slice() {
        [] => String::from("another database"),
        shards => names(shards, " or "),
    };
    // The move that has them on the way, as the source has it, and as the target has it: that takes them once the configuration says so.
    let moving = |is_source: bool| {
        let is_it = |row: &&OpenMove| {
            row.is_source == is_source && about(row).is_some_and(|range| range.contains(&bucket))
        };
        evidence.moves.iter().find(is_it)
    };
    let (leaving, arriving) = (moving(true), moving(false));
    let command = |row: &OpenMove, verb: &str| {
        let OpenMove { shard, other, first_bucket, last_bucket, .. } = row;
        let (from, to) = if row.is_source { (shard, other) } else { (other, shard) };
        format!(
            "`mark-stale-drafts shards {verb} --from {from} --to {to} --buckets {first_bucket}-{last_bucket}`"
        )
    };
    let swapped = match (given, holders.as_slice()) {
        (Some(one), [other])
            if one.recorded == Some(other.configured) && other.recorded == Some(one.configured) =>
        {
            format!(
                "each of `{}` and `{}` has what the configuration gives to the other: if their `database_id`s are swapped in `d1_databases`, put that right. Otherwise ",
                one.shard, other.shard
            )
        }
        _ => String::new(),
    };
    let (cause, has, remedy): (_, _, Cow<'static, str>) = match holders.as_slice() {
        [] => (
            "the configuration gives users to a database that does not have them: they see nothing of theirs, and can't write",
            arriving.map_or_else(
                || String::from("no database has them"),
                |row| format!("they are on the way to `{}`", row.shard),
            ),
            match (arriving, leaving) {
                // A move has given them to a database that the configuration does not have any more.
                _ if placed.len() == 1 && answers_all => {
                    "this database has given them to another: put `shards` back as it was, with all databases, and deploy that".into()
                }
                (Some(row), None) => format!(
                    "`{}` gave them away, and `{}` has lost that it took them: it was restored, or another database is bound. Restore it to a time after the move; docs/scale.md says what to do where that is lost",
                    row.other, row.shard
                ).into(),
                (Some(row), _) => format!(
                    "give them to `{}` in the configuration and deploy that; then go on with {}",
                    row.shard,
                    command(row, "finish")
                )
                .into(),
                (None, Some(row)) => format!(
                    "`{}` has lost what moved there: it was restored, or another database is bound. Bind the one that took it, or restore it to a time after the move, and go on with {}; docs/scale.md says what to do where that is lost",
                    row.other,
                    command(row, "finish")
                ).into(),
                (None, None) => "a database was restored to before a move, or another one is bound in its place: restore it to a time after that, or bind the one that has them; docs/scale.md says how to correct its record where that is lost".into(),
            },
        ),
        [holder] => (
            "the configuration gives users to a database that does not have them: they see nothing of theirs, and can't write",
            format!("`{}` has them", holder.shard),
            match leaving {
                Some(row) if row.state == "moved" => format!(
                    "they have moved: give them to `{}` in the configuration and deploy that; then go on with {}",
                    holder.shard,
                    command(row, "finish")
                ),
                Some(row) => format!(
                    "give them to `{}` again and deploy that; then go on with {}, or undo it with {}",
                    holder.shard,
                    command(row, "move"),
                    command(row, "cancel")
                ),
                // Whether the configuration was changed without a move, or put back after one.
                None => {
                    let (from, first, last) = (&holder.shard, bucket.number(), last.number());
                    let by = match given_to.as_slice() {
                        [to] => format!(
                            ": `mark-stale-drafts shards move --from {from} --to {to} --buckets {first}-{last}`"
                        ),
                        _ => String::new(),
                    };
                    format!(
                        "{swapped}give them to `{from}` in the configuration and deploy that; if {to} is to have them, move them then{by}"
                    )
                }
            }
            .into(),
        ),
        holders => (
            "two databases have the same users, and both take writes of them",
            format!(
                "{} have them",
                names(&holders.iter().map(|holder| holder.shard.as_str()).collect::<Vec<_>>(), " and ")
            ),
            "find out which of them was restored or copied; docs/scale.md says how to correct its record".into(),
        ),
    };
    Some(Finding {
        code: "buckets_misplaced",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from(cause),
        evidence: format!("the configuration gives the buckets {buckets} to {to}, and {has}{others}"),
        remedy,
    })
}

/// Where a move is on record that was begun between other bindings: one that names itself as the other side, or whose other side does not
/// name it. Since the move began, another database is bound under a name of these.
pub fn swapped(moves: &[OpenMove]) -> Option<(String, &'static str)> {
    let is_other = |row: &&OpenMove| {
        let other_side = moves.iter().find(|other| other.id == row.id && other.is_source != row.is_source);
        row.shard == row.other
            || other_side.is_some_and(|other| other.shard != row.other || other.other != row.shard)
    };
    let OpenMove { shard, other, first_bucket, last_bucket, .. } = moves.iter().find(is_other)?;
    Some((
        format!(
            "the database that is bound as `{shard}` has a move of the buckets {first_bucket}-{last_bucket} on record that it began with `{other}` under another name"
        ),
        "put each `database_id` in `d1_databases` back to the binding that it had when the move began, and deploy that; then go on with the move",
    ))
}

fn bound_otherwise(evidence: &Evidence) -> Option<Finding> {
    let (evidence, remedy) = swapped(&evidence.moves)?;
    Some(Finding {
        code: "buckets_misplaced",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from(
            "a database is bound under another one's name while buckets move between them: their users see nothing of theirs, and can't write",
        ),
        evidence,
        remedy: remedy.into(),
    })
}

/// Those that the configuration has and that don't answer as they should: which of them has some buckets is not in the evidence.
fn silent(evidence: &Evidence) -> Vec<&str> {
    let unreachable = evidence.unreachable.iter().map(|(shard, _)| shard.as_str());
    unreachable.chain(evidence.other_schemas.iter().map(|(shard, _)| shard.as_str())).collect()
}

/// A database that has nothing on record where one had users.
fn replaced(evidence: &Evidence) -> Option<Finding> {
    let (place, buckets) = lost(&evidence.placed, &evidence.moves)?;
    let shard = &place.shard;
    let has = match buckets.is_empty() {
        true => String::from("a move is about its buckets"),
        false => format!("no database has the buckets {buckets}, which the configuration gives to it"),
    };
    Some(Finding {
        code: "buckets_misplaced",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from(
            "another database is bound in place of one that has users: they see nothing of theirs, and can't write",
        ),
        evidence: format!("`{shard}` has nothing on record, and {has}"),
        remedy: format!(
            "bind the database that was there as `{shard}` again; docs/scale.md says what to do where that is lost, or where `{shard}` never had users"
        )
        .into(),
    })
}

/// Users in a database that has given their buckets away: lists and balances leave them out, and sweeps don't. Those whom a move has still to
/// remove are none.
fn left_behind(evidence: &Evidence) -> Option<Finding> {
    let moving: BucketSet = evidence.moves.iter().filter_map(about).collect();
    let left =
        |place: &Placed| place.users.without(&place.recorded?).without(&moving).ranges().into_iter().next();
    let (place, range) = evidence.placed.iter().find_map(|place| Some((place, left(place)?)))?;
    let shard = &place.shard;
    Some(Finding {
        code: "buckets_misplaced",
        severity: Severity::Warning,
        error_code: None,
        cause: String::from(
            "a database has users of buckets that it has given away: no list or balance shows what they have there, and sweeps decide on it",
        ),
        evidence: format!("`{shard}` has users of bucket {}, which is away by its record", range.start().number()),
        remedy: "look what they have there, give them again what they got there alone, and remove the rest: docs/scale.md says how".into(),
    })
}

/// Users of others in a database that has nothing on record, and so can't be given any.
fn strangers(placed: &[Placed], moves: &[OpenMove]) -> Option<Finding> {
    let finding = |cause: &str, evidence: String, remedy: String| Finding {
        code: "buckets_misplaced",
        severity: Severity::Critical,
        error_code: None,
        cause: String::from(cause),
        evidence,
        remedy: remedy.into(),
    };
    let new = || placed.iter().filter(|place| place.recorded.is_none());
    let first = |buckets: BucketSet| buckets.ranges().into_iter().next().map(|range| *range.start());
    let taken = taken(placed, moves);
    if let Some((place, bucket)) = new().find_map(|place| Some((place, first(place.users.within(&taken))?))) {
        let holder = placed.iter().find(|place| place.holds(bucket));
        let whose = match holder {
            Some(holder) => format!("which `{}` has on record", holder.shard),
            None => String::from("which is on the way to another database"),
        };
        return Some(finding(
            "a database has users whom another one has too: what they got there counts twice, and it takes no new users",
            format!(
                "`{}` has users of bucket {}, {whose}; it has nothing on record",
                place.shard,
                bucket.number()
            ),
            format!(
                "bind an empty database as `{}` once you have looked what its users got; or, if a database was restored, correct its record: docs/scale.md says how",
                place.shard
            ),
        ));
    }
    let strange = new().find_map(|place| Some((place, first(place.strangers())?)));
    let (place, bucket) = strange.filter(|_| first_records(placed, moves).is_empty())?;
    let given = placed.iter().find(|place| place.configured.has(bucket))?;
    Some(finding(
        "a database has users whom the configuration gives to another one: they see nothing of theirs, and nobody new is taken anywhere",
        format!(
            "`{}` has users of bucket {}, which the configuration gives to `{}`",
            place.shard,
            bucket.number(),
            given.shard
        ),
        format!(
            "if `{}` was the only database, give it all `buckets` and deploy that; then remove what is in the others, and move buckets there",
            place.shard
        ),
    ))
}
