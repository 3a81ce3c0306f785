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
    REFUNDS_DELAYED "refunds_delayed": "Refunds are delayed: your balance will be corrected within minutes. You need not do anything.";
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
    /// Of a draft that has timed out, before a sweep.
    REFUND_ON_ITS_WAY "refund_on_its_way": ("Refund of {count} token on its way", "Refund of {count} tokens on its way");
    /// Of a draft that cost nothing.
    FREE "free": "Free";
    /// Of a late result that was restored.
    RESTORED "restored": "Its result came after the refund. It has been restored, and charged again.";
    /// Of a late result that was kept.
    KEPT "kept": "Its result came in after the refund. It is kept: ask support if you want it, for the same price.";
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
    /// A link from there.
    TRY_AGAIN "try_again": "Try again";
}

impl Text {
    /// The text with what stands for its names in braces; `single` if its `{count}` is 1.
    pub fn fill(&self, single: bool, values: &[(&str, String)]) -> String {
        let form = self.one.filter(|_| single).unwrap_or(self.other);
        values.iter().fold(form.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}
