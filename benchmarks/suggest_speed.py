import sys,time,resource; sys.path.insert(0,'/tmp/w/sugg/repo/benchmarks'); sys.path.insert(0,'/tmp/w/sugg/repo')
import suggest as B
from ckptlint.engine.suggest.suggest import suggest, SuggestOptions
def model(layers,experts,pre,attn,mlp,norm):
    d={pre+'embed_tokens.weight':[32000,4096]}
    for l in range(layers):
        b=f'{pre}layers.{l}.'
        for n in ('q','k','v','o'): d[f'{b}{attn}.{n}_proj.weight']=[4096,4096]
        d[f'{b}{norm}_1.weight']=[4096]; d[f'{b}{norm}_2.weight']=[4096]
        for e in range(experts):
            for n,s in (('gate',[14336,4096]),('up',[14336,4096]),('down',[4096,14336])): d[f'{b}{mlp}.experts.{e}.{n}_proj.weight']=s
    return d
for layers,experts in ((60,31),(80,207)):
    a=B.schema(model(layers,experts,'model.','self_attn','mlp','norm')); b=B.schema(model(layers,experts,'','attention','ffn','ln'))
    sy=B.shipped_synonyms(); t=time.process_time(); f=suggest(a,b,sy,SuggestOptions()); t=time.process_time()-t
    t2=time.process_time(); p=B.proves(f,a,b); t2=time.process_time()-t2
    print(len(a.tensors),'keys',round(t,2),'s + yaml and proof',round(t2,2),'complete',f.complete,p, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss//1024,'MB')
