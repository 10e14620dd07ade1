//! The benches of `tailrace-core`. Here is nothing but what lets a package depend on theirs: the
//! bindings do, so that a source distribution holds every package that the lock file names.
