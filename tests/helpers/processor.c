/* Another processor for one program: as LD_PRELOAD it answers the instruction CPUID as FAKE_CPU says.

   Linux raises SIGSEGV at CPUID where the processor can be told to (CPUID faulting). FAKE_CPU is haswell (Intel, no
   AVX-512) or rome (AMD, no AVX-512), followed by the kilobytes of its second-level cache: haswell-256. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
enum { A, B, C, D };
static int amd;
static uint32_t cache_kb;

static uint32_t bits(uint32_t first, uint32_t last) { return (uint32_t)(((1ull << (last + 1)) - 1) & ~((1ull << first) - 1)); }

static void real_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4]) {
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __asm__ volatile("cpuid" : "=a"(r[A]), "=b"(r[B]), "=c"(r[C]), "=d"(r[D]) : "a"(leaf), "c"(subleaf));
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
}

static void set(uint32_t r[4], uint32_t a, uint32_t b, uint32_t c, uint32_t d) { r[A] = a; r[B] = b; r[C] = c; r[D] = d; }

static void vendor(uint32_t r[4], uint32_t highest_leaf) {
    r[A] = highest_leaf;
    memcpy(&r[B], "Auth", 4);
    memcpy(&r[D], "enti", 4);
    memcpy(&r[C], "cAMD", 4);
}

/* Data 32 KB, code 32 KB, second level as asked, third level 16 MB; 8 ways of 64 bytes, shared by two threads. */
static void cache(uint32_t r[4], uint32_t number) {
    uint32_t type[] = {0x4121, 0x4122, 0x4143, 0x1C163}, ways = 0x01C0003F;
    uint32_t sets[] = {63, 63, cache_kb * 2 - 1, 0x7FFF};
    if (number < 4) set(r, type[number], ways, sets[number], 0);
    else set(r, 0, 0, 0, 0);
}

static void fake_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4]) {
    real_cpuid(leaf, subleaf, r);
    switch (leaf) {
    case 0x0:
        if (amd) vendor(r, 0x10);
        else r[A] = 0xD;
        break;
    case 0x1: r[A] = amd ? 0x00830F10 : 0x000306F2; break; /* family and model */
    case 0x4:
        if (amd) set(r, 0, 0, 0, 0);
        else cache(r, subleaf);
        break;
    case 0x7: /* no AVX-512, no AMX */
        if (subleaf) { set(r, 0, 0, 0, 0); break; }
        r[A] = 0;
        r[B] &= ~(bits(16, 17) | bits(21, 21) | bits(26, 28) | bits(30, 31));
        r[C] &= ~(bits(1, 1) | bits(6, 6) | bits(8, 12) | bits(14, 14));
        r[D] &= ~(bits(2, 3) | bits(8, 8) | bits(22, 25));
        break;
    case 0xD: /* the state to save: no AVX-512, no AMX */
        if (subleaf == 0) set(r, 0x7, 832, 832, r[D]);
        if (subleaf > 2) set(r, 0, 0, 0, 0);
        break;
    case 0x14: case 0x1D: case 0x1E: case 0x24: set(r, 0, 0, 0, 0); break;
    case 0x80000000:
        if (amd) vendor(r, 0x8000001F);
        break;
    case 0x80000005:
        if (amd) set(r, 0xFF40FF40, 0xFF40FF40, 0x20080140, 0x20080140);
        break;
    case 0x80000006:
        if (amd) set(r, 0x48002200, 0x68004200, cache_kb << 16 | 0x6140, 0x00809140);
        break;
    case 0x8000001D:
        if (amd) cache(r, subleaf);
        break;
    }
}

static void answer(int signal_number, siginfo_t *info, void *context) {
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)g[REG_RIP];
    (void)signal_number;
    (void)info;
    if (code[0] != 0x0F || code[1] != 0xA2) { /* not CPUID: a real fault, which comes again and ends the process */
        signal(SIGSEGV, SIG_DFL);
        return;
    }
    uint32_t r[4];
    fake_cpuid((uint32_t)g[REG_RAX], (uint32_t)g[REG_RCX], r);
    g[REG_RAX] = r[A];
    g[REG_RBX] = r[B];
    g[REG_RCX] = r[C];
    g[REG_RDX] = r[D];
    g[REG_RIP] += 2;
}

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAKE_CPU");
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK, .sa_sigaction = answer};
    if (!name || !strchr(name, '-')) return;
    amd = !strncmp(name, "rome", 4);
    cache_kb = (uint32_t)atoi(strchr(name, '-') + 1);
    sigaction(SIGSEGV, &action, NULL);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) fprintf(stderr, "this machine has no CPUID faulting\n");
}
