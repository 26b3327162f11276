#include "blas.h"

#include <mutex>

namespace addax {
namespace {

Blas the_blas;
std::mutex mutex;
int depth = 0;
int saved_threads = 0;

}  // namespace

void set_blas(const Blas& blas) { the_blas = blas; }
const Blas& get_blas() { return the_blas; }

SingleThreadedBlas::SingleThreadedBlas() {
  if (!the_blas.set_num_threads || !the_blas.get_num_threads) return;
  std::lock_guard<std::mutex> lock(mutex);
  if (depth++ == 0 && (saved_threads = the_blas.get_num_threads()) > 1) the_blas.set_num_threads(1);
}

SingleThreadedBlas::~SingleThreadedBlas() {
  if (!the_blas.set_num_threads || !the_blas.get_num_threads) return;
  std::lock_guard<std::mutex> lock(mutex);
  if (--depth == 0 && saved_threads > 1) the_blas.set_num_threads(saved_threads);
}

}  // namespace addax
