//! html5ever's tokenizer and tree builder as an oracle.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode};
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::State;
use html5ever::tokenizer::{
    BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts, TreeSink};
use html5ever::{Attribute, ExpandedName, QualName, TokenizerResult, local_name, ns};

/// What both tokenizers are asked for. Text is that of raw elements only, pieces joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Start(String, Vec<(String, String)>),
    End(String),
    Text(String),
}

/// html5ever's tokens on their way to its tree builder, which switches the tokenizer.
struct Oracle {
    builder: TreeBuilder<Node, Elements>,
    seen: RefCell<Vec<Seen>>,
    raw: Cell<bool>,
}

impl TokenSink for Oracle {
    type Handle = Node;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<Node> {
        let is_start = self.note(&token);
        let result = self.builder.process_token(token, line);
        if is_start {
            let raw = matches!(result, TokenSinkResult::RawData(_) | TokenSinkResult::Plaintext);
            self.raw.set(raw);
        }
        result
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder.adjusted_current_node_present_but_not_in_html_namespace()
    }
}

impl Oracle {
    /// Notes what is asked for; true for a start tag.
    fn note(&self, token: &Token) -> bool {
        let mut seen = self.seen.borrow_mut();
        let mut text = |piece: &str| match seen.last_mut() {
            Some(Seen::Text(text)) => text.push_str(piece),
            _ => seen.push(Seen::Text(piece.to_owned())),
        };
        match token {
            Token::CharacterTokens(piece) if self.raw.get() => text(piece),
            Token::NullCharacterToken if self.raw.get() => text("\u{FFFD}"),
            Token::TagToken(tag) if tag.kind == TagKind::EndTag => {
                self.raw.set(false);
                seen.push(Seen::End(tag.name.to_string()));
            }
            Token::TagToken(tag) => {
                let pair = |attribute: &Attribute| {
                    (attribute.name.local.to_string(), attribute.value.to_string())
                };
                seen.push(Seen::Start(tag.name.to_string(), tag.attrs.iter().map(pair).collect()));
                return true;
            }
            _ => {}
        }
        false
    }
}

/// An element, of which the tree builder needs to know its name alone.
#[derive(Clone)]
struct Node(Rc<(QualName, bool)>);

/// Makes elements, and lets the tree go.
struct Elements;

impl Elements {
    fn node(name: QualName, holds_html: bool) -> Node {
        Node(Rc::new((name, holds_html)))
    }
}

impl TreeSink for Elements {
    type Handle = Node;
    type Output = ();
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) {}

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> Node {
        Self::node(QualName::new(None, ns!(), local_name!("")), false)
    }

    fn elem_name<'a>(&'a self, node: &'a Node) -> ExpandedName<'a> {
        node.0.0.expanded()
    }

    fn create_element(&self, name: QualName, _: Vec<Attribute>, flags: ElementFlags) -> Node {
        Self::node(name, flags.mathml_annotation_xml_integration_point)
    }

    fn create_comment(&self, _: StrTendril) -> Node {
        self.get_document()
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> Node {
        self.get_document()
    }

    fn append(&self, _: &Node, _: NodeOrText<Node>) {}

    fn append_based_on_parent_node(&self, _: &Node, _: &Node, _: NodeOrText<Node>) {}

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, _: &Node) -> Node {
        self.get_document()
    }

    fn same_node(&self, one: &Node, other: &Node) -> bool {
        Rc::ptr_eq(&one.0, &other.0)
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, _: &Node, _: NodeOrText<Node>) {}

    fn add_attrs_if_missing(&self, _: &Node, _: Vec<Attribute>) {}

    fn remove_from_parent(&self, _: &Node) {}

    fn reparent_children(&self, _: &Node, _: &Node) {}

    fn is_mathml_annotation_xml_integration_point(&self, node: &Node) -> bool {
        node.0.1
    }
}

pub fn oracle(page: &[u8]) -> Vec<Seen> {
    let options = TokenizerOpts {
        initial_state: Some(State::Data),
        discard_bom: false,
        ..TokenizerOpts::default()
    };
    let oracle = Oracle {
        builder: TreeBuilder::new(Elements, TreeBuilderOpts::default()),
        seen: RefCell::default(),
        raw: Cell::default(),
    };
    let tokenizer = Tokenizer::new(oracle, options);
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(&String::from_utf8_lossy(page)));
    // It stops after each script, which is to run first, and at a declared encoding.
    while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink.seen.into_inner()
}
