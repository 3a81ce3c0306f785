"""What stays as it was when the team moves: it asks a provider. Here it pretends."""

from stale_drafts import GenerationError


def render(kind, prompt):
    if "forbidden" in prompt:
        raise GenerationError("provider_rejected", "The prompt was rejected by the content filter")
    return f"https://results.example/{kind}/{len(prompt)}"
