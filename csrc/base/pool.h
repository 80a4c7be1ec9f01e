/* base/pool.h - the one thread pool. Work is cut into tasks by shape alone; which worker takes a task is left to
 * chance, so a body may not let results depend on `worker` (it may only pick a scratch buffer by it). */
#ifndef VT_BASE_POOL_H
#define VT_BASE_POOL_H

#include "base/status.h"

typedef struct vt_pool vt_pool;
typedef void (*vt_task)(void *arg, int task, int worker); /* worker: 0 .. threads-1 */

vt_status vt_pool_create(vt_pool **pool, int threads); /* threads <= 0: vt_pool_default_threads() */
void vt_pool_destroy(vt_pool *pool);                   /* NULL is allowed */
int vt_pool_threads(const vt_pool *pool);
int vt_pool_default_threads(void);                     /* OMP_NUM_THREADS, else the processors this process may use */

/* Runs task 0 .. tasks-1, the caller among the workers; returns when all are done. One call at a time a pool. */
void vt_pool_run(vt_pool *pool, int tasks, vt_task fn, void *arg);

#endif
