//! Links and scripts of a page in, the places where its WordPress may lie out: `admin-ajax.php` is
//! below one of them, in a subfolder as well.
//!
//! URLs below `wp-includes/` say best where that is; `wp-content/` can be moved, and the link to
//! the REST API is under the site's home, which can be another folder. A page does not say its own
//! host, and files can come from others: which place is the site's own is the caller's to tell.

use super::attributes::Tag;

/// Places kept of each source.
const MAX_ROOTS: usize = 4;

/// Bytes of a URL that is looked at, as it stands in the page.
const MAX_URL_BYTES: usize = 2048;

/// The relation of a page to the REST API of its WordPress, as it is written in every page.
const API_RELATION: &[u8] = b"https://api.w.org/";

/// The places found so far, by source.
#[derive(Default)]
pub(super) struct Roots {
    includes: Vec<String>,
    content: Vec<String>,
    api: Vec<String>,
}

impl Roots {
    /// Takes a `<script>` or a `<link>`.
    pub(super) fn tag(&mut self, tag: &Tag<'_>) {
        let (mut url, mut is_api) = (None, false);
        for attribute in tag.attributes() {
            if attribute.is("src") || attribute.is("href") {
                url = url.or(Some(attribute));
            }
            is_api |= attribute.is("rel") && attribute.raw_value() == API_RELATION;
        }
        let Some(url) = url.filter(|url| url.raw_value().len() <= MAX_URL_BYTES) else { return };
        if is_api {
            add(&mut self.api, home_of_api(&url.value()));
        } else if url.raw_value().contains(&b'-') {
            self.file(&url.value());
        }
    }

    fn file(&mut self, url: &str) {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let places = [("/wp-includes/", &mut self.includes), ("/wp-content/", &mut self.content)];
        let found =
            places.into_iter().filter_map(|(folder, roots)| Some((path.find(folder)?, roots)));
        if let Some((length, roots)) = found.min_by_key(|(length, _)| *length) {
            add(roots, Some(&path[..=length]));
        }
    }

    /// The places, each once, the best source first.
    pub(super) fn into_list(self) -> Vec<String> {
        let mut list = Vec::new();
        for root in self.includes.into_iter().chain(self.content).chain(self.api) {
            if !list.contains(&root) {
                list.push(root);
            }
        }
        list
    }
}

fn add(roots: &mut Vec<String>, root: Option<&str>) {
    if let Some(root) = root
        && roots.len() < MAX_ROOTS
        && !roots.iter().any(|known| known == root)
    {
        roots.push(root.to_owned());
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
