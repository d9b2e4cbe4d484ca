//! From facts to a place: which shards a statement concerns, and whether it may be spread over several.

use super::{Analysis, Restriction};
use crate::error::{Error, Result};
use crate::plan::primitive::{Lookup, Routing};
use crate::topology::{KeyspaceId, KeyspaceName};
use crate::vschema::TableKind;

/// Where a statement goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) keyspace: Option<KeyspaceName>,
    pub(crate) routing: Routing,
}

/// Tied instances, and what restricts them all.
struct Group {
    members: Vec<usize>,
    restrictions: Vec<Restriction>,
}

/// The place of an analysed statement.
pub(crate) fn of(analysis: &Analysis) -> Result<Place> {
    let places = &analysis.places;
    if places.is_mixed {
        return Err(Error::unsupported("tables of several keyspaces in one statement"));
    }
    match (&places.sharded, &places.unsharded, &places.reference) {
        (None, None, None) if places.system => {
            let routing = Routing::SystemSchema(places.system_schemas.clone());
            Ok(Place { keyspace: None, routing })
        }
        (None, None, None) => Ok(Place { keyspace: None, routing: Routing::AnyShard }),
        (None, Some(keyspace), reference) if reference.as_ref().is_none_or(|other| other == keyspace) => {
            Ok(Place { keyspace: Some(keyspace.clone()), routing: Routing::Unsharded })
        }
        (None, None, Some(keyspace)) => {
            Ok(Place { keyspace: Some(keyspace.clone()), routing: Routing::AnyShard })
        }
        (Some(keyspace), None, reference) if reference.as_ref().is_none_or(|other| other == keyspace) => {
            if places.system {
                return Err(Error::unsupported("system tables together with sharded tables"));
            }
            Ok(Place { keyspace: Some(keyspace.clone()), routing: sharded(analysis) })
        }
        _ => Err(Error::unsupported("tables of several keyspaces in one statement")),
    }
}

fn sharded(analysis: &Analysis) -> Routing {
    let roots = roots(groups(analysis), analysis);
    if roots.iter().any(|root| root.restrictions.is_empty()) {
        return Routing::Scatter;
    }
    let pins: Vec<&KeyspaceId> = roots.iter().flat_map(|root| &root.restrictions).filter_map(pin).collect();
    if let Some(first) = pins.first() {
        let all = roots.iter().all(|root| root.restrictions.iter().all(|r| pin(r) == Some(first)));
        return if all { Routing::Pinned((*first).clone()) } else { Routing::Scatter };
    }
    let is_never = |root: &Group| root.restrictions.contains(&Restriction::Never);
    // The first instance is the outermost block's: without its rows there is nothing.
    if roots.first().is_some_and(is_never) {
        return Routing::None;
    }
    let mut lookups: Vec<Vec<Lookup>> =
        roots.iter().filter(|root| !is_never(root)).map(|root| lookups(&root.restrictions)).collect();
    lookups.dedup();
    match lookups.len() {
        0 => Routing::None,
        1 => one_group(lookups.swap_remove(0)),
        _ if lookups.iter().all(|group| group.iter().any(Lookup::is_one_value)) => {
            Routing::SameShard(lookups)
        }
        _ => Routing::Scatter,
    }
}

/// Where the rows of one instance are, as far as the restrictions on it and on those tied to it say.
pub(crate) fn of_instance(instance: usize, analysis: &Analysis) -> Routing {
    match &analysis.instances[instance].table.kind {
        TableKind::Reference { .. } => return Routing::AnyShard,
        TableKind::Sequence | TableKind::Unsharded => return Routing::Unsharded,
        TableKind::Pinned(_) | TableKind::Sharded => {}
    }
    let group = groups(analysis).into_iter().find(|group| group.members.contains(&instance));
    let restrictions = group.map_or(Vec::new(), |group| group.restrictions);
    if restrictions.contains(&Restriction::Never) {
        return Routing::None;
    }
    if let Some(id) = restrictions.iter().find_map(pin) {
        return Routing::Pinned(id.clone());
    }
    if restrictions.is_empty() { Routing::Scatter } else { one_group(lookups(&restrictions)) }
}

fn one_group(mut lookups: Vec<Lookup>) -> Routing {
    if lookups.len() > 1 {
        return Routing::Intersect(lookups);
    }
    let lookup = lookups.swap_remove(0);
    if lookup.is_one_value() { Routing::EqualUnique(lookup) } else { Routing::In(lookup) }
}

fn lookups(restrictions: &[Restriction]) -> Vec<Lookup> {
    let mut all: Vec<Lookup> = Vec::new();
    for restriction in restrictions {
        if let Restriction::Lookup(lookup) = restriction
            && !all.contains(lookup)
        {
            all.push(lookup.clone());
        }
    }
    // Asking one table is dear enough, and needless where a function tells.
    let cheapest = all.iter().filter(|lookup| lookup.asks_table()).map(preference).min();
    let has_function = all.iter().any(|lookup| !lookup.asks_table() && !lookup.is_range());
    let mut is_taken = false;
    all.retain(|lookup| {
        let is_chosen = !has_function && !is_taken && Some(preference(lookup)) == cheapest;
        is_taken |= lookup.asks_table() && is_chosen;
        !lookup.asks_table() || is_chosen
    });
    if all.iter().any(|lookup| lookup.is_one_value() && !lookup.asks_table()) {
        // There is nothing to narrow down.
        all.retain(|lookup| !lookup.is_range());
    }
    all.sort_by_key(preference);
    all
}

fn preference(lookup: &Lookup) -> (bool, bool, u32) {
    (!lookup.is_one_value(), lookup.is_range(), lookup.vindex.0.cost())
}

fn pin(restriction: &Restriction) -> Option<&KeyspaceId> {
    match restriction {
        Restriction::Pinned(id) => Some(id),
        Restriction::Lookup(_) | Restriction::Never => None,
    }
}

/// Instances with edges both ways are one group: a restriction of one holds for all.
fn groups(analysis: &Analysis) -> Vec<Group> {
    let count = analysis.instances.len();
    let mut group_of: Vec<usize> = (0..count).collect();
    for (a, b) in &analysis.edges {
        if analysis.edges.contains(&(*b, *a)) {
            let (from, to) = (group_of[*a].max(group_of[*b]), group_of[*a].min(group_of[*b]));
            group_of.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
        }
    }
    let members = |group: usize| (0..count).filter(|i| group_of[*i] == group).collect::<Vec<_>>();
    let groups = (0..count).filter(|i| group_of[*i] == *i).map(members);
    groups
        .map(|members| {
            let own = analysis.bindings.iter().filter(|binding| members.contains(&binding.instance));
            let restrictions = own.map(|binding| binding.restriction.clone()).collect();
            Group { members, restrictions }
        })
        .collect()
}

/// The groups that no other group leads to; the shards of the others follow from theirs.
fn roots(groups: Vec<Group>, analysis: &Analysis) -> Vec<Group> {
    let mut covered = vec![false; analysis.instances.len()];
    let mut roots: Vec<Group> = Vec::new();
    let is_led_to = |group: &Group| {
        analysis.edges.iter().any(|(a, b)| group.members.contains(b) && !group.members.contains(a))
    };
    let (led, free): (Vec<_>, Vec<_>) = groups.into_iter().partition(is_led_to);
    for group in free.into_iter().chain(led) {
        if covered[group.members[0]] {
            continue;
        }
        let reached = analysis.reach(&group.members);
        covered.iter_mut().zip(reached).for_each(|(covered, reached)| *covered |= reached);
        roots.push(group);
    }
    roots.sort_by_key(|root| root.members[0]);
    roots
}
