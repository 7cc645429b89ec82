//! Sorts lists. All lists share one copy of the code, since the library's sort is compiled for each type of
//! entry, 4 kB each time.
//!
//! Use the library's sort where a list is long and sorting it takes a noticeable time.

use std::{cmp::Ordering, mem};

/// Sorts a list, and keeps the order of entries that are equal.
pub(crate) fn sort<T>(list: &mut Vec<T>, order: impl Fn(&T, &T) -> Ordering) {
    if list.is_sorted_by(|one, other| order(one, other).is_le()) {
        return;
    }
    let mut indices: Vec<usize> = (0..list.len()).collect();
    sort_indices(&mut indices, &|one, other| order(&list[one], &list[other]));
    let mut unsorted: Vec<Option<T>> = mem::take(list).into_iter().map(Some).collect();
    list.extend(indices.into_iter().filter_map(|index| unsorted[index].take()));
}

/// Sorts indices by what they stand for. Those that stand for the same are in their own order.
pub(crate) fn sort_indices(indices: &mut [usize], order: &dyn Fn(usize, usize) -> Ordering) {
    indices.sort_unstable_by(|one, other| order(*one, *other).then(one.cmp(other)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_is_sorted_as_the_library_sorts_it(mut list: Vec<(u8, u8)>) {
            let mut expected = list.clone();
            expected.sort_by_key(|(first, _)| *first);
            sort(&mut list, |one, other| one.0.cmp(&other.0));
            prop_assert_eq!(list, expected);
        }
    }
}
