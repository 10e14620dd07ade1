//! A tag in, the chat widget or the tokens it carries out: of both lines of AI Power, and of AI
//! Engine.

use std::borrow::Cow;
use std::fmt;

use crate::json::{JsonError, Kind, Reader};

use super::attributes::{Attribute, Tag};

/// Which plugin, and which line of it, a widget is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WidgetKind {
    /// AI Power, the 1.x line: attributes on the tag.
    AiPower,
    /// `AIPKit`, the 2.x line: JSON in `data-config`.
    AiPkit,
    /// AI Engine: JSON in `data-params` and `data-system`.
    AiEngine,
}

impl WidgetKind {
    /// All kinds there are.
    pub const ALL: &'static [Self] = &[Self::AiPower, Self::AiPkit, Self::AiEngine];

    /// The kind's name, which is its dialect's: `ai-power`, `aipkit` or `ai-engine`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AiPower => "ai-power",
            Self::AiPkit => "aipkit",
            Self::AiEngine => "ai-engine",
        }
    }
}

impl fmt::Display for WidgetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A widget's placement on its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// In the page's text.
    Inline,
    /// Floating above the page.
    Popup,
}

impl Placement {
    /// The placement's name: `inline` or `popup`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Popup => "popup",
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One chat bot on a page, complete or not. The `Debug` form does not show the nonce.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatWidget {
    /// The plugin and its line.
    pub kind: WidgetKind,
    /// The widget's placement on the page.
    pub placement: Placement,
    /// The nonce: 1 to 256 visible ASCII characters; empty when the tag has none that is valid.
    pub nonce: String,
    /// The page's post id: digits; empty when the tag has none that is valid.
    pub post_id: String,
    /// The bot's id, `0` for the 1.x default bot; empty when the tag does not say.
    pub bot_id: String,
    /// The name the chat shows: `headerName` on 2.x, `data-ai-name` on early 1.x, `aiName` without
    /// its colon on AI Engine.
    pub name: Option<String>,
    /// `data-url`: the page's own address, on 1.x.
    pub url: Option<String>,
    /// The address that messages go to: `ajaxUrl` on 2.x; on 1.x, from `wpaicgParams`, known only
    /// when the scan waited for the endpoint.
    pub ajax_url: Option<String>,
    /// Whether the bot streams; `None` when the page does not say.
    pub streams: Option<bool>,
    /// Whether the bot runs on the Assistants API (1.x, AI Engine).
    pub assistant: bool,
    /// How many earlier messages the bot is sent (1.x).
    pub memory_limit: Option<u64>,
    /// AI Engine's `customId`, as it stands there; may be empty.
    pub custom_id: Option<String>,
    /// AI Engine's `restUrl`: the address that paths of the REST API are added to.
    pub rest_url: Option<String>,
    /// AI Engine's `sessionId`.
    pub session_id: Option<String>,
    /// AI Engine's `startSentence`: what the chat says before anybody asks.
    pub start_sentence: Option<String>,
    /// AI Engine's `textInputMaxLength`: the characters of a message, at most.
    pub max_length: Option<u64>,
    /// AI Engine's `mode`, such as `chat` or `images`.
    pub mode: Option<String>,
}

impl ChatWidget {
    /// A widget of which nothing more is known.
    pub fn new(kind: WidgetKind, placement: Placement) -> Self {
        Self {
            kind,
            placement,
            nonce: String::new(),
            post_id: String::new(),
            bot_id: String::new(),
            name: None,
            url: None,
            ajax_url: None,
            streams: None,
            assistant: false,
            memory_limit: None,
            custom_id: None,
            rest_url: None,
            session_id: None,
            start_sentence: None,
            max_length: None,
            mode: None,
        }
    }

    /// Whether all is there that a message to the bot needs. (AI Engine gives nonces elsewhere.)
    pub fn is_complete(&self) -> bool {
        let is_named = || !self.bot_id.is_empty() || self.own_custom_id().is_some();
        match self.kind {
            WidgetKind::AiEngine => self.rest_url.is_some() && is_named(),
            _ => !self.nonce.is_empty() && !self.post_id.is_empty(),
        }
    }

    /// Whether the bot is known by this id: by its own, or by that of its settings.
    pub fn is_known_by(&self, bot_id: &str) -> bool {
        self.bot_id == bot_id || self.own_custom_id() == Some(bot_id)
    }

    /// The id that says most of the bot: its own, else that of its settings.
    pub(super) fn any_id(&self) -> &str {
        if self.bot_id.is_empty() { self.own_custom_id().unwrap_or("") } else { &self.bot_id }
    }

    fn own_custom_id(&self) -> Option<&str> {
        self.custom_id.as_deref().filter(|id| !id.is_empty())
    }

    /// The tokens, when both are there. AI Engine's nonces are of another kind, and none of these.
    pub fn tokens(&self) -> Option<PageTokens> {
        let complete = self.kind != WidgetKind::AiEngine && self.is_complete();
        complete.then(|| PageTokens::new(self.nonce.clone(), self.post_id.clone()))
    }

    /// The widget with the tokens of its tag, as they stand there.
    fn with(mut self, tokens: &RawTokens) -> Self {
        self.nonce = valid_nonce(&tokens.nonce).unwrap_or_default();
        self.post_id = valid_post_id(&tokens.post_id).unwrap_or_default();
        self
    }
}

impl fmt::Debug for ChatWidget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatWidget")
            .field("kind", &self.kind.as_str())
            .field("placement", &self.placement.as_str())
            .field("post_id", &self.post_id)
            .field("bot_id", &self.bot_id)
            .field("name", &self.name)
            .field("url", &self.url)
            .field("ajax_url", &self.ajax_url)
            .field("streams", &self.streams)
            .field("assistant", &self.assistant)
            .field("memory_limit", &self.memory_limit)
            .field("custom_id", &self.custom_id)
            .field("rest_url", &self.rest_url)
            .field("max_length", &self.max_length)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// The tokens that a message must carry. The `Debug` form does not show the nonce.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageTokens {
    /// The nonce: 1 to 256 visible ASCII characters.
    pub nonce: String,
    /// The post id: digits.
    pub post_id: String,
}

impl PageTokens {
    /// These tokens.
    pub fn new(nonce: String, post_id: String) -> Self {
        Self { nonce, post_id }
    }
}

impl fmt::Debug for PageTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageTokens").field("post_id", &self.post_id).finish_non_exhaustive()
    }
}

const MAX_NONCE: usize = 256;

/// The digits of the largest number that a database gives a post.
const MAX_POST_ID: usize = 20;

/// The nonce without surrounding white space, if it is valid: 1 to 256 visible ASCII characters.
pub(super) fn valid_nonce(value: &str) -> Option<String> {
    let value = value.trim();
    let valid =
        (1..=MAX_NONCE).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
    valid.then(|| value.to_owned())
}

/// The post id without surrounding white space and the `<` that 1.9.16 to 2.2 put before it, if it
/// is 1 to 20 digits.
pub(super) fn valid_post_id(value: &str) -> Option<String> {
    let value = value.trim();
    let value = value.strip_prefix('<').map_or(value, str::trim_start);
    let valid =
        (1..=MAX_POST_ID).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| value.to_owned())
}

/// The tokens of an element as they stand there, trimmed; empty when there are none.
#[derive(Default)]
pub(super) struct RawTokens {
    pub(super) nonce: String,
    pub(super) post_id: String,
}

/// The attributes of one element that can matter, the first of each name, not decoded yet.
#[derive(Default)]
pub(super) struct Element<'page> {
    class: Option<Attribute<'page>>,
    id: Option<Attribute<'page>>,
    nonce: Option<Attribute<'page>>,
    post_id: Option<Attribute<'page>>,
    bot_id: Option<Attribute<'page>>,
    config: Option<Attribute<'page>>,
    name: Option<Attribute<'page>>,
    url: Option<Attribute<'page>>,
    stream: Option<Attribute<'page>>,
    assistant: Option<Attribute<'page>>,
    memory_limit: Option<Attribute<'page>>,
    params: Option<Attribute<'page>>,
    system: Option<Attribute<'page>>,
}

impl<'page> Element<'page> {
    pub(super) fn new(tag: &Tag<'page>) -> Self {
        let mut element = Self::default();
        for attribute in tag.attributes() {
            if let Some(slot) = element.slot(&attribute) {
                slot.get_or_insert(attribute);
            }
        }
        element
    }

    fn slot(&mut self, attribute: &Attribute<'page>) -> Option<&mut Option<Attribute<'page>>> {
        let slots = [
            ("class", &mut self.class),
            ("id", &mut self.id),
            ("data-nonce", &mut self.nonce),
            ("data-post-id", &mut self.post_id),
            ("data-bot-id", &mut self.bot_id),
            ("data-config", &mut self.config),
            ("data-ai-name", &mut self.name),
            ("data-url", &mut self.url),
            ("data-openai_stream_nav", &mut self.stream),
            ("data-assistant-enabled", &mut self.assistant),
            ("data-memory-limit", &mut self.memory_limit),
            ("data-params", &mut self.params),
            ("data-system", &mut self.system),
        ];
        slots.into_iter().find(|(name, _)| attribute.is(name)).map(|(_, slot)| slot)
    }

    /// The widget that this element is by its class (2.x: or its id), and its tokens. AI Engine's
    /// has none.
    pub(super) fn widget(&self) -> Option<(ChatWidget, RawTokens)> {
        let class = value(self.class).unwrap_or_default();
        if let Some(placement) = class.split_ascii_whitespace().find_map(ai_power_placement) {
            return Some(self.ai_power(placement));
        }
        if class.split_ascii_whitespace().any(|class| class == "mwai-chatbot-container") {
            return Some((self.ai_engine(), RawTokens::default()));
        }
        let config = self.config?;
        let id = value(self.id).unwrap_or_default();
        let placement =
            class.split_ascii_whitespace().chain([id.trim()]).find_map(aipkit_placement)?;
        Some(self.aipkit(placement, &config.value()))
    }

    /// The tokens of the element's own attributes.
    pub(super) fn tokens(&self) -> RawTokens {
        RawTokens {
            nonce: text(self.nonce).unwrap_or_default(),
            post_id: text(self.post_id).unwrap_or_default(),
        }
    }

    /// The bot the element speaks for, if it says so.
    pub(super) fn bot_id(&self) -> Option<String> {
        text(self.bot_id)
    }

    fn ai_power(&self, placement: Placement) -> (ChatWidget, RawTokens) {
        let tokens = self.tokens();
        let widget = ChatWidget {
            bot_id: self.bot_id().unwrap_or_default(),
            name: text(self.name),
            url: text(self.url),
            streams: value(self.stream).and_then(|value| flag(value.trim())),
            assistant: text(self.assistant).is_some_and(|value| flag(&value) == Some(true)),
            memory_limit: text(self.memory_limit).and_then(|value| value.parse().ok()),
            ..ChatWidget::new(WidgetKind::AiPower, placement)
        };
        (widget.with(&tokens), tokens)
    }

    fn aipkit(&self, placement: Placement, config: &str) -> (ChatWidget, RawTokens) {
        let config = Config::read(config).unwrap_or_default();
        let own = self.tokens();
        let tokens = RawTokens {
            nonce: config.nonce.unwrap_or(own.nonce),
            post_id: config.post_id.unwrap_or(own.post_id),
        };
        let widget = ChatWidget {
            bot_id: config.bot_id.or_else(|| self.bot_id()).unwrap_or_default(),
            name: config.name,
            ajax_url: config.ajax_url,
            streams: config.streams.and_then(|value| flag(&value)),
            ..ChatWidget::new(WidgetKind::AiPkit, placement)
        };
        (widget.with(&tokens), tokens)
    }
}

impl Element<'_> {
    fn ai_engine(&self) -> ChatWidget {
        let read = |attribute| value(attribute).and_then(|json| Settings::read(&json).ok());
        let system = read(self.system).unwrap_or_default();
        let params = read(self.params).unwrap_or_default();
        let is_popup = params.window.as_deref().and_then(flag) == Some(true);
        let placement = if is_popup { Placement::Popup } else { Placement::Inline };
        let name = params.name.as_deref().map(|name| name.trim_end_matches([':', ' ']));
        ChatWidget {
            nonce: system.nonce.and_then(|nonce| valid_nonce(&nonce)).unwrap_or_default(),
            post_id: system.context_id.and_then(|id| valid_post_id(&id)).unwrap_or_default(),
            bot_id: system.bot_id.unwrap_or_default(),
            name: name.and_then(filled),
            streams: system.streams.as_deref().and_then(flag),
            assistant: params.mode.as_deref() == Some("assistant"),
            custom_id: system.custom_id,
            rest_url: system.rest_url,
            session_id: system.session_id,
            start_sentence: params.start_sentence,
            max_length: params
                .max_length
                .and_then(|length| length.parse().ok())
                .filter(|most| *most > 0),
            mode: params.mode,
            ..ChatWidget::new(WidgetKind::AiEngine, placement)
        }
    }
}

fn ai_power_placement(class: &str) -> Option<Placement> {
    match class {
        "wpaicg-chat-shortcode" => Some(Placement::Inline),
        "wpaicg-chatbox" => Some(Placement::Popup),
        _ => None,
    }
}

fn aipkit_placement(class: &str) -> Option<Placement> {
    if class.starts_with("aipkit_chat_container") {
        Some(Placement::Inline)
    } else if class.starts_with("aipkit_popup_wrapper") {
        Some(Placement::Popup)
    } else {
        None
    }
}

fn value(attribute: Option<Attribute<'_>>) -> Option<Cow<'_, str>> {
    attribute.map(|attribute| attribute.value())
}

/// The trimmed value, if it is not empty.
fn text(attribute: Option<Attribute<'_>>) -> Option<String> {
    value(attribute).and_then(|value| filled(&value))
}

fn filled(value: &str) -> Option<String> {
    Some(value.trim()).filter(|value| !value.is_empty()).map(str::to_owned)
}

/// A switch as PHP prints it.
fn flag(value: &str) -> Option<bool> {
    match value {
        "1" | "true" => Some(true),
        "" | "0" | "false" => Some(false),
        _ => None,
    }
}

/// The keys of a 2.x `data-config` that are read. Numbers and booleans are kept as they are
/// written.
#[derive(Default)]
struct Config {
    nonce: Option<String>,
    post_id: Option<String>,
    bot_id: Option<String>,
    ajax_url: Option<String>,
    name: Option<String>,
    streams: Option<String>,
}

impl Config {
    fn read(json: &str) -> Result<Self, JsonError> {
        let mut config = Self::default();
        let mut reader = Reader::new(json);
        reader.object(|key, reader| {
            let slot = match &*key.decode() {
                "nonce" => &mut config.nonce,
                "postId" => &mut config.post_id,
                "botId" => &mut config.bot_id,
                "ajaxUrl" => &mut config.ajax_url,
                "headerName" => &mut config.name,
                "streamEnabled" => &mut config.streams,
                _ => return reader.skip(),
            };
            *slot = scalar(reader)?;
            Ok(())
        })?;
        reader.end()?;
        Ok(config)
    }
}

/// The keys of AI Engine's `data-params` and `data-system` that are read, as `Config` reads them.
#[derive(Default)]
struct Settings {
    bot_id: Option<String>,
    /// An empty one, too: the plugin tells it from none.
    custom_id: Option<String>,
    nonce: Option<String>,
    session_id: Option<String>,
    context_id: Option<String>,
    rest_url: Option<String>,
    streams: Option<String>,
    name: Option<String>,
    window: Option<String>,
    start_sentence: Option<String>,
    max_length: Option<String>,
    mode: Option<String>,
}

impl Settings {
    fn read(json: &str) -> Result<Self, JsonError> {
        let mut settings = Self::default();
        let mut reader = Reader::new(json);
        reader.object(|key, reader| {
            let slot = match &*key.decode() {
                "botId" => &mut settings.bot_id,
                "restNonce" => &mut settings.nonce,
                "sessionId" => &mut settings.session_id,
                "contextId" => &mut settings.context_id,
                "restUrl" => &mut settings.rest_url,
                "stream" => &mut settings.streams,
                "aiName" => &mut settings.name,
                "window" => &mut settings.window,
                "startSentence" => &mut settings.start_sentence,
                "textInputMaxLength" => &mut settings.max_length,
                "mode" => &mut settings.mode,
                "customId" => {
                    let id = reader.string_or_skip()?;
                    settings.custom_id = id.map(|id| id.decode().into_owned());
                    return Ok(());
                }
                _ => return reader.skip(),
            };
            *slot = scalar(reader)?;
            Ok(())
        })?;
        reader.end()?;
        Ok(settings)
    }
}

/// A string, number or boolean as non-empty text; anything else is skipped.
fn scalar(reader: &mut Reader<'_>) -> Result<Option<String>, JsonError> {
    let kind = reader.peek()?;
    match kind {
        Kind::String => Ok(filled(&reader.string()?.decode())),
        Kind::Number => Ok(filled(reader.number()?)),
        _ => {
            reader.skip()?;
            Ok(match kind {
                Kind::True => Some("true".to_owned()),
                Kind::False => Some("false".to_owned()),
                _ => None,
            })
        }
    }
}
