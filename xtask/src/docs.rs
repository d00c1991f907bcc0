//! What lies beside the page: the reader's documentation, `assets/docs/*.md` as pages in its colours and without a script, in
//! each language of the page, and the measured runs as one file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use crate::place;

/// The pages in the order of the list that each shows, by the name of their file.
const PAGES: [&str; 11] = [
    "index",
    "training",
    "inference",
    "multi-node",
    "plans",
    "engines",
    "exports",
    "embedding",
    "hosting",
    "sources",
    "COMPARE",
];

/// A language of the documentation.
struct Language {
    tag: &'static str,
    /// Its folder below that of the English pages, with the `/` behind it.
    folder: &'static str,
    /// The way from its pages to those of the other language, and to the calculator.
    other: &'static str,
    calculator: &'static str,
    /// What the other language calls itself, and its tag.
    other_name: (&'static str, &'static str),
    /// Words around the text: the way back, the list of pages, a table, the title of everything.
    words: [&'static str; 4],
}

const ENGLISH: Language = Language {
    tag: "en",
    folder: "",
    other: "zh/",
    calculator: "../index.html",
    other_name: ("中文", "zh-Hans"),
    words: ["Calculator", "Documentation", "Table", "GPU Memory Calculator"],
};

const CHINESE: Language = Language {
    tag: "zh-Hans",
    folder: "zh/",
    other: "../",
    calculator: "../../index.html",
    other_name: ("English", "en"),
    words: ["计算器", "文档", "表", "GPU 显存计算器"],
};

/// What is made by tests and commands stands between these in the English pages, and is the same in all languages.
const MADE: [(&str, &str); 2] = [
    ("<!-- published -->", "<!-- /published -->"),
    ("<!-- compared -->", "<!-- /compared -->"),
];

const TOKENS: &str = include_str!("../../style/tokens.css");
const STYLE: &str = "
*{box-sizing:border-box}
body{margin:0;background:var(--canvas);color:var(--text);font:1rem/1.6 var(--font)}
nav,main{max-width:46rem;margin:0 auto;padding:var(--space-4)}
nav ul{display:flex;flex-wrap:wrap;gap:var(--space-2) var(--space-5);list-style:none;margin:0;padding:0}
nav a[aria-current]{color:var(--text);text-decoration:none;font-weight:600}
a{color:var(--accent)}
:focus-visible{outline:2px solid var(--focus);outline-offset:2px}
h1{font-size:var(--text-2xl);line-height:1.2}
h2{font-size:var(--text-xl);margin-top:var(--space-6)}
code,pre{font-family:var(--font-mono);font-size:.9em}
code{overflow-wrap:anywhere}
pre{white-space:pre-wrap;padding:var(--space-3);background:var(--surface-sunken);border-radius:var(--radius)}
.table{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:var(--text-md)}
th,td{text-align:left;vertical-align:top;padding:var(--space-2);border-bottom:1px solid var(--line)}
";

/// Writes both into a site.
pub fn put(site: &Path) -> Result<()> {
    write(&site.join("docs"))?;
    fs::write(site.join("records.jsonl"), records()?).context("writing records.jsonl")
}

/// All measured runs as one file, which the page loads when its accuracy tab is opened. Lines that carry a question of the
/// project's own stand behind options and are no runs to list.
pub fn records() -> Result<String> {
    let folder = place::root().join("tests/measured");
    let mut files = fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<PathBuf>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let mut all = String::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let record: serde_json::Value =
                serde_json::from_str(line).with_context(|| format!("a line of {}", file.display()))?;
            if record.get("question").is_none() {
                all.push_str(line);
                all.push('\n');
            }
        }
    }
    Ok(all)
}

/// Writes every page into a folder.
fn write(folder: &Path) -> Result<()> {
    for language in [&ENGLISH, &CHINESE] {
        let folder = folder.join(language.folder);
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        for name in PAGES {
            let path = folder.join(name).with_extension("html");
            fs::write(&path, page(name, language)?).with_context(|| format!("writing {}", path.display()))?;
        }
    }
    Ok(())
}

fn source(name: &str, language: &Language) -> Result<String> {
    let folder = place::root().join("assets/docs").join(language.folder);
    let path = folder.join(name).with_extension("md");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let made = MADE.iter().find(|(start, _)| text.contains(start));
    let Some((start, end)) = made.filter(|_| !language.folder.is_empty()) else {
        return Ok(text);
    };
    let english = source(name, &ENGLISH)?;
    let made = english
        .split_once(start)
        .and_then(|(_, rest)| rest.split_once(end))
        .map(|(made, _)| made)
        .with_context(|| format!("{name}.md has nothing that is made"))?;
    Ok(text.replacen(start, &format!("{start}{made}"), 1))
}

/// The text of the first heading.
fn title(markdown: &str) -> &str {
    let first = markdown.lines().find_map(|line| line.strip_prefix("# "));
    first.unwrap_or_default()
}

/// All pages in one document, for where there is only one file; their places are those of the pages with the page's name in
/// front.
pub fn whole(chinese: bool) -> Result<String> {
    let language = if chinese { &CHINESE } else { &ENGLISH };
    let (mut list, mut body) = (String::new(), String::new());
    for name in PAGES {
        let markdown = source(name, language)?;
        list.push_str(&format!("<li><a href=\"#{name}\">{}</a></li>", title(&markdown)));
        body.push_str(&format!("<section id=\"{name}\">\n"));
        let own = events(name, &markdown, language)?
            .into_iter()
            .map(|event| match event {
                Event::Start(Tag::Link {
                    link_type,
                    dest_url,
                    title,
                    id,
                }) => {
                    let dest_url = CowStr::from(place_in_whole(name, &dest_url));
                    Event::Start(Tag::Link {
                        link_type,
                        dest_url,
                        title,
                        id,
                    })
                }
                Event::Start(Tag::Heading {
                    level,
                    id: Some(id),
                    classes,
                    attrs,
                }) => {
                    let id = Some(CowStr::from(format!("{name}-{id}")));
                    Event::Start(Tag::Heading {
                        level,
                        id,
                        classes,
                        attrs,
                    })
                }
                other => other,
            });
        html::push_html(&mut body, own);
        body.push_str("</section>\n");
    }
    Ok(framed(language, language.words[3], &list, &body))
}

/// `engines.html#ddp` on any page becomes `#engines-ddp`, and `#ddp` on that page too; what leads elsewhere stays.
fn place_in_whole(page: &str, link: &str) -> String {
    if link.contains("://") {
        return link.to_owned();
    }
    let (file, place) = link.split_once('#').unwrap_or((link, ""));
    let file = file
        .strip_suffix(".html")
        .filter(|file| !file.is_empty())
        .unwrap_or(page);
    if place.is_empty() {
        format!("#{file}")
    } else {
        format!("#{file}-{place}")
    }
}

fn page(name: &str, language: &Language) -> Result<String> {
    let markdown = source(name, language)?;
    let Language {
        calculator,
        other,
        other_name: (other_name, other_tag),
        words,
        ..
    } = language;
    let mut list = format!("<li><a href=\"{calculator}\">{}</a></li>", words[0]);
    for page in PAGES {
        let current = if page == name {
            " aria-current=\"page\""
        } else {
            ""
        };
        let text = source(page, language)?;
        list.push_str(&format!(
            "<li><a href=\"{page}.html\"{current}>{}</a></li>",
            title(&text)
        ));
    }
    list.push_str(&format!(
        "<li><a href=\"{other}{name}.html\" lang=\"{other_tag}\" hreflang=\"{other_tag}\">{other_name}</a></li>"
    ));
    let mut body = String::new();
    html::push_html(&mut body, events(name, &markdown, language)?.into_iter());
    let title = format!("{} - {}", title(&markdown), words[3]);
    Ok(framed(language, &title, &list, &body))
}

/// A document of the documentation. It runs no script and asks no address.
fn framed(language: &Language, title: &str, list: &str, body: &str) -> String {
    let Language { tag, words, .. } = language;
    let documentation = words[1];
    let description = description(body);
    format!(
        "<!doctype html>\n<html lang=\"{tag}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; connect-src 'self'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"description\" content=\"{description}\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n<style>{TOKENS}{STYLE}</style>\n</head>\n<body>\n\
         <nav aria-label=\"{documentation}\"><ul>{list}</ul></nav>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// The first paragraph of a document without its elements, for search engines.
fn description(body: &str) -> String {
    let first = body
        .split_once("<p>")
        .and_then(|(_, rest)| rest.split_once("</p>"))
        .map_or("", |(first, _)| first);
    let mut text = String::new();
    let mut inside = false;
    for letter in first.chars() {
        match letter {
            '<' => inside = true,
            '>' => inside = false,
            '\n' if !inside => text.push(' '),
            '"' if !inside => text.push_str("&quot;"),
            letter if !inside => text.push(letter),
            _ => {}
        }
    }
    text
}

/// The Markdown with links that lead to the pages, an id for each heading, and tables that scroll by themselves. Headings have
/// the ids of the English page, so that a link leads to the same place in each language.
fn events<'text>(name: &str, markdown: &'text str, language: &Language) -> Result<Vec<Event<'text>>> {
    let mut events: Vec<Event<'_>> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
    let english = source(name, &ENGLISH)?;
    let ids: Vec<String> = headings(&english).iter().map(|heading| id(heading)).collect();
    let table = language.words[2];
    let mut next = ids.into_iter();
    for event in &mut events {
        match event {
            Event::Start(Tag::Link { dest_url, .. }) => *dest_url = CowStr::from(destination(dest_url)),
            Event::Start(Tag::Heading { level, id, .. }) if *level == HeadingLevel::H2 => {
                *id = next.next().map(CowStr::from);
            }
            _ => {}
        }
    }
    // Each table is a region of its own, so that it can be scrolled with the keyboard.
    let mut tables = 0;
    let frame = |event| match event {
        Event::Start(Tag::Table(_)) => {
            tables += 1;
            let open = format!(
                "<div class=\"table\" tabindex=\"0\" role=\"region\" aria-label=\"{table} {tables}\">"
            );
            vec![Event::Html(open.into()), event]
        }
        Event::End(TagEnd::Table) => vec![event, Event::Html("</div>\n".into())],
        _ => vec![event],
    };
    Ok(events.into_iter().flat_map(frame).collect())
}

/// `engines.md#ddp` becomes `engines.html#ddp`; what leads elsewhere stays.
fn destination(link: &str) -> String {
    let (file, place) = link
        .split_once('#')
        .map_or((link, None), |(file, place)| (file, Some(place)));
    let file = match file.strip_suffix(".md") {
        Some(name) if !file.contains("://") => format!("{name}.html"),
        _ => file.to_owned(),
    };
    match place {
        Some(place) => format!("{file}#{place}"),
        None => file,
    }
}

/// The headings of the second level.
fn headings(markdown: &str) -> Vec<&str> {
    markdown
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect()
}

/// `PyTorch DDP` becomes `pytorch-ddp`.
fn id(heading: &str) -> String {
    let words: Vec<String> = heading
        .to_lowercase()
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(ToString::to_string)
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_page_is_listed_in_each_language_and_none_is_forgotten() {
        for language in [&ENGLISH, &CHINESE] {
            let files: BTreeSet<String> =
                fs::read_dir(place::root().join("assets/docs").join(language.folder))
                    .into_iter()
                    .flatten()
                    .flatten()
                    .filter(|entry| entry.path().is_file())
                    .filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned()))
                    .collect();
            assert_eq!(files, PAGES.map(ToString::to_string).into());
        }
    }

    /// What a page is made of, whatever its words: headings by level, rows of tables, points of lists, blocks of code.
    fn shape(markdown: &str) -> Vec<(&'static str, usize)> {
        let starts = |mark: &str| markdown.lines().filter(|line| line.starts_with(mark)).count();
        vec![
            ("headings", starts("## ")),
            ("lesser headings", starts("### ")),
            ("rows", starts("|")),
            ("points", starts("- ")),
            ("fences", starts("```")),
        ]
    }

    #[test]
    fn a_page_has_the_same_parts_in_each_language() -> Result<()> {
        for name in PAGES {
            let (english, chinese) = (source(name, &ENGLISH)?, source(name, &CHINESE)?);
            assert_eq!(shape(&english), shape(&chinese), "{name}.md");
        }
        Ok(())
    }

    #[test]
    fn every_link_inside_leads_somewhere() -> Result<()> {
        let mut places = BTreeSet::new();
        for name in PAGES {
            places.insert(format!("{name}.html"));
            for heading in headings(&source(name, &ENGLISH)?) {
                places.insert(format!("{name}.html#{}", id(heading)));
            }
        }
        for language in [&ENGLISH, &CHINESE] {
            for name in PAGES {
                for event in events(name, &source(name, language)?, language)? {
                    if let Event::Start(Tag::Link { dest_url, .. }) = event {
                        let inside = !dest_url.contains("://");
                        assert!(
                            !inside || places.contains(dest_url.as_ref()),
                            "{name}.md: {dest_url}"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    #[test]
    fn every_link_in_the_whole_leads_to_a_place_in_it() -> Result<()> {
        for chinese in [false, true] {
            let whole = whole(chinese)?;
            let mut links = 0;
            for piece in whole.split("href=\"#").skip(1) {
                let place = piece.split('"').next().unwrap_or_default();
                assert!(whole.contains(&format!("id=\"{place}\"")), "{place}");
                links += 1;
            }
            assert!(links > PAGES.len());
            assert!(!whole.contains(".html#"));
        }
        Ok(())
    }

    #[test]
    fn a_page_has_title_list_and_text() -> Result<()> {
        let english = page("engines", &ENGLISH)?;
        assert!(english.contains("<a href=\"engines.html\" aria-current=\"page\">"));
        assert!(english.contains("<h2 id=\"pytorch-ddp\">"));
        assert!(english.contains("<a href=\"zh/engines.html\""));
        let chinese = page("engines", &CHINESE)?;
        assert!(chinese.contains("<html lang=\"zh-Hans\">"));
        assert!(chinese.contains("<h2 id=\"pytorch-ddp\">"));
        assert!(chinese.contains("<a href=\"../engines.html\""));
        Ok(())
    }
}
