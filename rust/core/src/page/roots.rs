//! Links and scripts of a page in, the places where its WordPress may lie out: `admin-ajax.php` is
//! below one of them, in a subfolder as well.
//!
//! URLs below `wp-includes/` say best where that is; `wp-content/` can be moved, and the link to
//! the REST API is under the site's home, which can be another folder. A page does not say its own
//! host, and files can come from others: which place is the site's own is the caller's to tell.

use memchr::memchr_iter;

use super::attributes::{Attribute, Tag};

/// Bytes of a URL that is looked at, as it stands in the page.
const MAX_URL_BYTES: usize = 2048;

/// The relation of a page to the REST API of its WordPress, as it is written in every page.
const API_RELATION: &[u8] = b"https://api.w.org/";

/// The places found so far: the first of each source. The others are mostly the same, and there are
/// many.
#[derive(Default)]
pub(super) struct Roots {
    includes: Option<String>,
    content: Option<String>,
    api: Option<String>,
}

impl Roots {
    /// Takes a `<script>` or a `<link>`.
    pub(super) fn tag(&mut self, tag: &Tag<'_>) {
        if self.are_named_in(tag.raw_attributes()) {
            self.read(tag);
        }
    }

    /// Whether attributes hold what the URL of a place that is not known yet is told by. All of it
    /// has a `w` that few other words have.
    fn are_named_in(&self, attributes: &[u8]) -> bool {
        memchr_iter(b'w', attributes).any(|at| {
            let (before, word) = attributes.split_at(at);
            match word {
                [b'w', b'p', b'-', folder @ ..] if before.ends_with(b"/") => {
                    self.includes.is_none() && folder.starts_with(b"includes/")
                        || self.content.is_none() && folder.starts_with(b"content/")
                }
                [b'w', b'.', ..] => {
                    self.api.is_none()
                        && before.ends_with(b"https://api.")
                        && word.starts_with(b"w.org/")
                }
                _ => false,
            }
        })
    }

    fn read(&mut self, tag: &Tag<'_>) {
        let url = tag.attributes().find(|attribute| attribute.is("src") || attribute.is("href"));
        let Some(url) = url.filter(|url| url.raw_value().len() <= MAX_URL_BYTES) else { return };
        let url = url.value();
        let is_api =
            |attribute: Attribute<'_>| attribute.is("rel") && attribute.raw_value() == API_RELATION;
        if tag.attributes().any(is_api) {
            self.api = self.api.take().or_else(|| home_of_api(&url).map(str::to_owned));
        } else {
            self.file(&url);
        }
    }

    fn file(&mut self, url: &str) {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let places = [("/wp-includes/", &mut self.includes), ("/wp-content/", &mut self.content)];
        let found =
            places.into_iter().filter_map(|(folder, root)| Some((path.find(folder)?, root)));
        if let Some((length, root)) = found.min_by_key(|(length, _)| *length) {
            root.get_or_insert_with(|| path[..=length].to_owned());
        }
    }

    /// The places, each once, the best source first.
    pub(super) fn into_list(self) -> Vec<String> {
        let mut list = Vec::new();
        for root in [self.includes, self.content, self.api].into_iter().flatten() {
            if !list.contains(&root) {
                list.push(root);
            }
        }
        list
    }
}

/// The folder of `wp-json/`, of `index.php/wp-json/` and of `index.php?rest_route=/`.
fn home_of_api(url: &str) -> Option<&str> {
    let url = url.trim();
    let path = match url.split_once('?') {
        Some((path, _)) => path,
        None => url.strip_suffix('/').unwrap_or(url),
    };
    let folder = &path[..=path.rfind('/')?];
    let folder = folder.strip_suffix("index.php/").unwrap_or(folder);
    (!folder.ends_with("//") && !folder.ends_with(":/")).then_some(folder)
}
