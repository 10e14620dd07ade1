"""Images, files and sounds in OpenAI's requests: each checked, and told of in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tailrace.replica._sites.models.openai.errors import refused
from tailrace.replica._sites.models.requests import (
    Attachment,
    about_bytes,
    decode_base64,
    parse_data_url,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def read_image(url: object, place: str) -> Attachment:
    """Read an image: an https URL, or a data URL."""
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return Attachment("image", url)
    parsed = parse_data_url(url) if isinstance(url, str) else None
    if parsed is None:
        raise refused(
            f"Invalid '{place}'. Expected a valid URL, or a data URL with the base64 of an image.",
            place,
            "invalid_image_url",
        )
    if parsed[0] not in IMAGE_TYPES:
        raise refused(
            "You uploaded an unsupported image. Please make sure your image has one of the "
            "following formats: ['png', 'jpeg', 'gif', 'webp'].",
            place,
            "invalid_image_format",
        )
    return Attachment("image", about_bytes(*parsed))


def read_file(file: object, place: str) -> Attachment:
    """Read a file: its id, or its name and a data URL."""
    match file:
        case {"file_id": str(file_id)}:
            return Attachment("file", file_id)
        case {"file_url": str(url)}:
            return Attachment("file", url)
        case {"filename": str(name), "file_data": str(data)}:
            parsed = parse_data_url(data)
            if parsed is not None:
                return Attachment("file", f"{name}, {about_bytes(*parsed)}")
    raise refused(
        f"Invalid '{place}'. Expected an id, or a name and a data URL with the file's base64.",
        place,
        "invalid_value",
    )


def read_sound(sound: Mapping[str, Any] | object, place: str) -> Attachment:
    """Read a sound: base64, and ``wav`` or ``mp3``."""
    match sound:
        case {"data": str(data), "format": "wav" | "mp3" as format_}:
            decoded = decode_base64(data)
            if decoded is not None:
                return Attachment("sound", about_bytes(f"audio/{format_}", decoded))
    raise refused(f"Invalid '{place}'. Expected base64, and wav or mp3.", place, "invalid_value")
