//! Where the fields of a document stand in its text.

use saphyr_parser::Event;

use super::Position;
use crate::path::Segment;

/// Where the keys and items of one document stand.
#[derive(Default)]
pub(super) struct Marks {
    open: Vec<(Mark, Option<(String, Position)>)>,
    root: Option<Mark>,
}

/// Where a value stands, and what is in it.
pub(super) struct Mark {
    at: Position,
    children: Children,
}

enum Children {
    Scalar,
    List(Vec<Mark>),
    /// By key, once the mapping is complete.
    Mapping(Vec<(String, Position, Mark)>),
}

impl Marks {
    /// The document's root, once its last event was taken.
    pub(super) fn root(self) -> Option<Mark> {
        self.root
    }

    /// Takes the next event, and where it starts.
    pub(super) fn take(&mut self, event: &Event<'_>, at: Position) {
        match event {
            Event::Scalar(text, ..) => {
                if let Some((Mark { children: Children::Mapping(_), .. }, key @ None)) = self.open.last_mut()
                {
                    *key = Some((text.clone().into_owned(), at));
                    return;
                }
                self.place(Mark { at, children: Children::Scalar });
            }
            Event::Alias(_) => self.place(Mark { at, children: Children::Scalar }),
            Event::SequenceStart(..) => {
                self.open.push((Mark { at, children: Children::List(Vec::new()) }, None))
            }
            Event::MappingStart(..) => {
                self.open.push((Mark { at, children: Children::Mapping(Vec::new()) }, None))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some((mut mark, _)) = self.open.pop() {
                    if let Children::Mapping(members) = &mut mark.children {
                        members.sort_by(|(a, ..), (b, ..)| a.cmp(b));
                    }
                    self.place(mark);
                }
            }
            _ => {}
        }
    }

    fn place(&mut self, mark: Mark) {
        match self.open.last_mut() {
            None => self.root = Some(mark),
            Some((Mark { children: Children::List(items), .. }, _)) => items.push(mark),
            Some((Mark { children: Children::Mapping(members), .. }, key)) => {
                if let Some((key, at)) = key.take() {
                    members.push((key, at, mark));
                }
            }
            Some(_) => {}
        }
    }
}

impl Mark {
    /// Where the key or the item at the end of the path stands, or the nearest parent that is there.
    pub(super) fn find(&self, path: &[Segment]) -> Position {
        let (mut mark, mut at) = (self, self.at);
        for segment in path {
            let next = match (segment, &mark.children) {
                (Segment::Index(index), Children::List(items)) => {
                    items.get(*index).map(|item| (item, item.at))
                }
                (Segment::Key(key), Children::Mapping(members)) => {
                    let found = members.binary_search_by(|(name, ..)| name.cmp(key)).ok();
                    found.and_then(|i| members.get(i)).map(|(_, at, mark)| (mark, *at))
                }
                _ => None,
            };
            let Some((child, position)) = next else { break };
            (mark, at) = (child, position);
        }
        at
    }
}
