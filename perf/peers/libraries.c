#include "peers.h"

#ifdef PEERS_ONEDNN
extern const peers_library peers_onednn;
#endif
#ifdef PEERS_OPENBLAS
extern const peers_library peers_openblas;
#endif

const peers_library *const peers_libraries[] = {
#ifdef PEERS_ONEDNN
    &peers_onednn,
#endif
#ifdef PEERS_OPENBLAS
    &peers_openblas,
#endif
    NULL};
