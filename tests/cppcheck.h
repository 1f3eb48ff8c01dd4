/* What cppcheck must know of <sys/queue.h> and <cmocka.h>, which it does not read. */
#define LIST_HEAD(name, type)                                                                      \
	struct name {                                                                              \
		struct type *lh_first;                                                             \
	}
#define TAILQ_FOREACH(v, h, f)  for ((v) = (h)->tqh_first; (v); (v) = (v)->f.tqe_next)
#define STAILQ_FOREACH(v, h, f) for ((v) = (h)->stqh_first; (v); (v) = (v)->f.stqe_next)
#define SLIST_FOREACH(v, h, f)  for ((v) = (h)->slh_first; (v); (v) = (v)->f.sle_next)
#define LIST_FOREACH(v, h, f)   for ((v) = (h)->lh_first; (v); (v) = (v)->f.le_next)
/* Of <jansson.h>, which it does not read either. */
#define JSON_INTEGER_FORMAT "lld"
#define fail_msg(...)       abort()
