"""The file of step times, byte for byte and back."""

from dataclasses import replace

from eebench.steptimes import STEP_TIMES, StepTime

ROW = StepTime("rte", "toy", "finetune", "finetune", 12.34567, 1.0, 30, 32, 2, "fp32", "A Processor, 2.9GHz")
GAML = replace(ROW, method="gaml", stage="mutual", step_ms=20.0, ratio=1.6204)
TEXT = """\
task,backbone,method,stage,step_ms,ratio,steps,batch_size,threads,precision,device
rte,toy,finetune,finetune,12.346,1.000,30,32,2,fp32,"A Processor, 2.9GHz"
rte,toy,gaml,mutual,20.000,1.620,30,32,2,fp32,"A Processor, 2.9GHz"
"""


def test_rows_are_written_rounded_and_read_back(tmp_path):
    path = STEP_TIMES.write(tmp_path / "glue", [ROW, GAML])
    assert path == tmp_path / "glue" / "steptime.csv"
    assert path.read_bytes() == TEXT.encode()
    assert STEP_TIMES.read(tmp_path / "glue") == [replace(ROW, step_ms=12.346), replace(GAML, ratio=1.62)]
