#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

extern char **environ;
#define MUST(it) do { if (!(it)) { printf("%s: %s\n", #it, strerror(errno)); exit(1); } } while (0)

static void *spawning(void *unused) {
  for (int i = 0; i < 20; i++) {
    pid_t pid; int status; char *words[] = {"true", 0};
    MUST(posix_spawnp(&pid, "true", 0, 0, words, environ) == 0);
    waitpid(pid, &status, 0);
    MUST(status == 0);
  }
  return 0;
}

static void *executing(void *unused) { execl("/bin/echo", "echo", "executed by a thread", NULL); return 0; }

static int count;
static int walked(const char *name, const struct stat *stat, int kind, struct FTW *where) { count++; return 0; }

int main(void) {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) pthread_create(&threads[i], 0, spawning, 0);
  for (int i = 0; i < 8; i++) pthread_join(threads[i], 0);
  int status; char buffer[1000];
  pid_t pid = vfork();
  if (!pid) { execl("/bin/true", "true", NULL); _exit(9); }
  waitpid(pid, &status, 0);
  MUST(status == 0);
  nftw("/usr/lib", walked, 20, FTW_PHYS);
  MUST(count > 500);
  glob_t found;
  MUST(glob("/usr/bin/*", 0, 0, &found) == 0 && found.gl_pathc > 50);
  MUST(!strcmp(realpath("../tmp/./all.c", 0), "/tmp/all.c"));
  int file = open(".", O_TMPFILE | O_RDWR, 0600);
  MUST(write(file, "x", 1) == 1);
  snprintf(buffer, sizeof buffer, "/proc/self/fd/%d", file);
  MUST(linkat(AT_FDCWD, buffer, AT_FDCWD, "/tmp/linked", AT_SYMLINK_FOLLOW) == 0);
  int events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  MUST(inotify_add_watch(events, "/tmp", IN_CREATE) > 0);
  close(open("/tmp/new", O_CREAT | O_WRONLY, 0644));
  MUST(read(events, buffer, sizeof buffer) > 0);
  file = open("/bin/true", O_RDONLY);
  pid = fork();
  if (!pid) { char *words[] = {"true", 0}; fexecve(file, words, environ); _exit(3); }
  waitpid(pid, &status, 0);
  MUST(status == 0);
  int folder = open("/tmp", O_PATH);
  MUST(openat(folder, "all.c", O_RDONLY) > 0 && fchdir(folder) == 0);
  MUST(renameat2(AT_FDCWD, "all.c", AT_FDCWD, "moved.c", RENAME_NOREPLACE) == 0 && access("moved.c", R_OK) == 0);
  MUST(shm_open("/x", O_CREAT | O_RDWR, 0600) > 0);
  /* As ssh-agent and sudo do: nobody may look at this process from now on. */
  MUST(prctl(PR_SET_DUMPABLE, 0) == 0);
  MUST(open("/etc/passwd", O_RDONLY) > 0 && stat("/etc/group", &(struct stat){0}) == 0);
  pid = fork();
  if (!pid) { execl("/bin/true", "true", NULL); _exit(9); }
  waitpid(pid, &status, 0);
  MUST(status == 0);
  fflush(stdout);
  pthread_create(&threads[0], 0, executing, 0);
  pause();
  return 1;
}
