//! What the owner's pages say, in English, which is what stands for a text that another language lacks.
//!
//! A text has a key, by which catalogues have it below `page`, and parameters in braces. With a `{count}` it may have a form of its own
//! for one. `tests/texts.rs` holds pkg/texts/en.json against this, and tests/package/texts.test.mjs the languages against that.

/// A text of a page.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// Its key in a catalogue.
    pub key: &'static str,
    /// Its form for a `{count}` of 1, if that is another.
    pub one: Option<&'static str>,
    /// Its form.
    pub other: &'static str,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident $key:literal: $forms:tt;)*) => {
        $($(#[$doc])* pub const $name: Text = texts!(@text $key $forms);)*
        /// All of them.
        pub const ALL: &[Text] = &[$($name),*];
    };
    (@text $key:literal ($one:literal, $other:literal)) => {
        Text { key: $key, one: Some($one), other: $other }
    };
    (@text $key:literal $other:literal) => {
        Text { key: $key, one: None, other: $other }
    };
}

texts! {
    /// The heading of the list.
    DRAFTS "drafts": "Drafts";
    /// A link for keyboards.
    SKIP "skip": "Skip to the drafts";
    /// Before the user's id.
    SIGNED_IN_AS "signed_in_as": "Signed in as";
    /// Before the user's tokens.
    BALANCE "balance": "Balance";
    /// So many, of the balance or of a draft.
    TOKENS "tokens": ("{count} token", "{count} tokens");
    /// A sweep did not go through.
    REFUNDS_DELAYED "refunds_delayed": "Refunds are delayed: your balance will be corrected. You need not do anything.";
    /// What the sweep before this page failed.
    TIMED_OUT "timed_out": ("{count} draft has timed out. Its tokens are back in your balance.", "{count} drafts have timed out. Their tokens are back in your balance.");
    /// An empty list.
    NO_DRAFTS "no_drafts": "No drafts yet. What you create appears here.";
    /// An empty page behind others.
    NO_MORE_DRAFTS "no_more_drafts": "No more drafts.";
    /// At the end of the list.
    ARCHIVED "archived": ("{count} older draft is archived.", "{count} older drafts are archived.");
    /// The same with the day of the newest.
    ARCHIVED_UNTIL "archived_until": ("{count} older draft is archived, the newest from {date}.", "{count} older drafts are archived, the newest from {date}.");
    /// What a screen reader calls the links between pages.
    PAGES "pages": "Pages";
    /// The link to the first page.
    NEWEST "newest": "← Newest";
    /// The link to the next page.
    OLDER "older": "Older →";
    /// What a screen reader calls the bar.
    PROGRESS "progress": "Progress";
    /// A link.
    OPEN_RESULT "open_result": "Open the result";
    /// Of a draft.
    REFUNDED "refunded": ("{count} token refunded", "{count} tokens refunded");
    /// Of a draft that used less than it was charged: `{count}` were used.
    USED_IN_PART "used_in_part": ("It used {count} token of the {tokens} that it was charged: the rest is back in your balance.", "It used {count} tokens of the {tokens} that it was charged: the rest is back in your balance.");
    /// Of a draft that has timed out, before a sweep.
    REFUND_ON_ITS_WAY "refund_on_its_way": ("Refund of {count} token on its way", "Refund of {count} tokens on its way");
    /// Of a draft that cost nothing.
    FREE "free": "Free";
    /// Of a late result that was restored.
    RESTORED "restored": "Its result came after the refund. It has been restored, and charged again.";
    /// Of a late result that was kept.
    KEPT "kept": "Its result came in after the refund. It is kept: ask support if you want it, for the tokens that went back.";
    /// Of a stale draft with an attempt left.
    TRIED_AGAIN "tried_again": "Its worker shows no sign of life: it is tried again.";
    /// Of a draft that is not tried for the first time.
    ATTEMPT "attempt": "Attempt {attempt}";
    /// The heading for whoever is not signed in.
    SIGN_IN "sign_in": "Sign in to see your drafts";
    /// Below that.
    SIGNED_OUT "signed_out": "You are signed out, or your session has ended.";
    /// The heading of an address that is none.
    NO_SUCH_PAGE "no_such_page": "There is no such page";
    /// A link from there.
    BACK "back": "Back to the drafts";
    /// The database does not answer.
    NOT_LOADED "not_loaded": "Your drafts can't be loaded right now. Nothing is lost; try again in a minute.";
    /// A link from there, and the button of a failed draft that cost nothing.
    TRY_AGAIN "try_again": "Try again";
    /// Why there is no such page.
    WRONG_ADDRESS "wrong_address": "Its address can't be read: a part of it may be missing.";
    /// The link to the tokens.
    TOKENS_LINK "tokens_link": "Where your tokens went";
    /// The button of a failed draft: so many are charged again.
    RETRY "retry": ("Try again for {count} token", "Try again for {count} tokens");
    /// The button of a draft that is being generated.
    CANCEL "cancel": "Cancel";
    /// The same where its tokens are used up.
    CANCEL_WITHOUT_REFUND "cancel_without_refund": "Cancel without a refund";
    /// Of a draft that an operator has given more time.
    PUT_OFF "put_off": "It takes longer than usual: it has time until {time}.";
    /// The heading of why a button did nothing, which is one of [`PROBLEMS`].
    NOTHING_CHANGED "nothing_changed": "Nothing was changed";
    /// The heading of the ledger.
    LEDGER "ledger": "Tokens";
    /// A link for keyboards.
    SKIP_TO_ENTRIES "skip_to_entries": "Skip to the entries";
    /// An empty ledger.
    NO_ENTRIES "no_entries": "No tokens have come or gone yet.";
    /// An empty page behind others.
    NO_MORE_ENTRIES "no_more_entries": "No more entries.";
    /// So many came, of an entry.
    GAINED "gained": ("+{count} token", "+{count} tokens");
    /// So many went.
    PAID "paid": ("−{count} token", "−{count} tokens");
    /// What the entries of one creation come to, where nothing was paid in the end.
    IN_ALL "in_all": ("In all {count} token", "In all {count} tokens");
    /// The same where so many were paid.
    IN_ALL_PAID "in_all_paid": ("In all −{count} token", "In all −{count} tokens");
    /// When.
    AT "at": "{time}";
    /// In place of what was asked for, where its owner has deleted it.
    DELETED "deleted": "deleted";
    /// At the end of the ledger: `{tokens}` is below zero if the user paid.
    ARCHIVED_TOKENS "archived_tokens": ("{count} older creation is archived: {tokens} tokens in all, with its refunds.", "{count} older creations are archived: {tokens} tokens in all, with their refunds.");
    /// The same where a part is in the sums of months, which are entries.
    ARCHIVED_TOKENS_BESIDE "archived_tokens_beside": ("{count} older creation is archived: {tokens} tokens beside the sums of months, with its refunds.", "{count} older creations are archived: {tokens} tokens beside the sums of months, with their refunds.");
    /// The heading for whoever is not signed in.
    SIGN_IN_FOR_TOKENS "sign_in_for_tokens": "Sign in to see your tokens";
    /// A link from what is no page of the ledger.
    BACK_TO_TOKENS "back_to_tokens": "Back to the tokens";
    /// The database does not answer.
    TOKENS_NOT_LOADED "tokens_not_loaded": "Your tokens can't be shown right now. Nothing is lost; try again in a minute.";
}

/// Why something that an owner wants can't be done, by the `code` of the API's answer: below `problems` in a catalogue.
pub const PROBLEMS: &[Text] = &[
    plain("active", "It is still being generated: wait until it is finished or has failed."),
    plain("balance_elsewhere", "It can't be done here: do it in the app that it was made in."),
    plain("balance_too_large", "It can't be done, and nothing was changed: ask support."),
    plain("conflict", "It has moved on meanwhile: nothing was changed."),
    plain("deleted", "It has been deleted."),
    plain("illegal_transition", "It has moved on meanwhile: nothing was changed."),
    plain("insufficient_tokens", "Your balance does not cover it: nothing was charged."),
    plain("invalid_request", "The page may be out of date: load it again, and try once more."),
    plain("misconfigured", LATER),
    plain("moving", LATER),
    plain("network_error", "There is no connection: try again when it is back. Doing it twice does no harm."),
    plain("not_cancellable", "Its generation has begun, and can't be cancelled any more."),
    plain("not_found", "There is no such draft."),
    plain("other_attempt", "It has moved on meanwhile: nothing was changed."),
    plain("rejected", "It can't be done, and nothing was changed: ask support."),
    plain(
        "settled_elsewhere",
        "It was charged elsewhere, and can't be tried again: make a new one in its place.",
    ),
    plain(
        "too_many_active",
        "As many of your drafts are in the making as may be: try again when one of them has ended.",
    ),
    plain("too_many_requests", "That was too often: try again in a minute."),
    plain("unauthorized", "You are signed out, or your session has ended."),
    plain("unavailable", LATER),
    plain("unexpected_answer", LATER),
];

const LATER: &str = "It can't be done right now: try again in a minute. Doing it twice does no harm.";

const fn plain(key: &'static str, other: &'static str) -> Text {
    Text { key, one: None, other }
}

/// The text of [`PROBLEMS`] for a code; of one that no owner is expected to get, that it can't be done right now.
pub fn problem(code: &str) -> Text {
    let found = PROBLEMS.iter().find(|text| text.key == code);
    found.copied().unwrap_or(const { plain("unavailable", LATER) })
}

impl Text {
    /// The text with what stands for its names in braces; `single` if its `{count}` is 1.
    pub fn fill(&self, single: bool, values: &[(&str, String)]) -> String {
        let form = self.one.filter(|_| single).unwrap_or(self.other);
        values.iter().fold(form.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}
