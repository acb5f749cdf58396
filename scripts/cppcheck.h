/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For cppcheck alone, which does not read system headers: the loop macros that the sources use. */
#define TAILQ_FOREACH(v, h, f) for ((v) = (h)->tqh_first; (v); (v) = (v)->f.tqe_next)
#define LIST_FOREACH(v, h, f) for ((v) = (h)->lh_first; (v); (v) = (v)->f.le_next)
#define json_array_foreach(a, i, v) for ((i) = 0; ((v) = json_array_get(a, i)); (i)++)
#define json_object_foreach(o, k, v) for ((k) = first_key(o); ((v) = value_of(o, k)); (k) = next_key(o, k))
