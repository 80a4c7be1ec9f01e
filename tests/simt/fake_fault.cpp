/* fake_fault.cpp - says whose memory a bad access met. In a kernel it ends the grid, as an illegal address does on
 * hardware; on the host it is told and then takes its course. */
#include "fake.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <unistd.h>

static struct sigaction before[2]; /* of SIGSEGV and SIGBUS */

static const char *owner_of(const char *p)
{
    for (auto &r : fake().device) {
        const char *mapped = (const char *)r.second.mapped, *start = (const char *)r.first;
        if (p >= start && p < start + r.second.bytes) return "device memory, which the host cannot touch";
        if (p >= mapped && p < mapped + r.second.mapped_bytes) return "just outside an allocation of device memory";
    }
    for (auto &r : fake().freed) {
        const char *mapped = (const char *)r.second.mapped;
        if (p >= mapped && p < mapped + r.second.mapped_bytes) return "freed device memory";
    }
    return nullptr;
}

static void on_fault(int sig, siginfo_t *info, void *)
{
    const char *owner = owner_of((const char *)info->si_addr);
    if (fake().in_kernel) simt_fail("access to %p, %s", info->si_addr, owner ? owner : "no memory of anyone's");
    if (owner) {
        char text[160];
        int n = snprintf(text, sizeof text, "fake device: access to %p, %s\n", info->si_addr, owner);
        if (write(STDERR_FILENO, text, (size_t)n) < 0) _exit(1);
    }
    sigaction(sig, &before[sig == SIGBUS], nullptr); /* the access comes again and meets whoever was there first */
}

void fake_fault_watch()
{
    static bool watching;
    if (watching) return;
    watching = true;
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_sigaction = on_fault;
    act.sa_flags = SA_SIGINFO | SA_NODEFER; /* a kernel's handler is left by a switch of stacks */
    sigaction(SIGSEGV, &act, &before[0]);
    sigaction(SIGBUS, &act, &before[1]);
}
